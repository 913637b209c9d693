#!/bin/bash
# Every shell script as shellcheck likes it.
. "$(dirname "$0")/common.bash"
if ! command -v shellcheck >/dev/null; then
	echo "ok 1 - shellcheck # SKIP shellcheck is not installed"
	exit 0
fi
mapfile -t scripts < <(all_files | xargs -d '\n' grep -lIE -m1 '^#!/(usr/)?bin/(env )?(ba)?sh' |
	while read -r f; do [ "$(head -c 2 "$f")" = '#!' ] && echo "$f"; done)
shellcheck -S warning -x -e SC1091 "${scripts[@]}"
