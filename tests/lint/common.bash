# Read by the scripts of this folder: they print what they object to, and fail if there is any.
set -u
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 6
shopt -s nullglob
bad=0
object() { echo "$*"; bad=1; }
verdict() { exit $bad; }
sources() { find lib tools -name '*.[ch]' | LC_ALL=C sort; }
all_files() { find . \( -name build -o -name 'build-*' -o -name .git \) -prune -o -type f -print | LC_ALL=C sort; }
# Code without comments and text, one "file:line:code" each, for rules about calls.
code() {
	# shellcheck disable=SC2016
	awk '
	FNR == 1 { open = 0 }
	{
		s = $0; out = ""
		while (s != "") {
			if (open) {
				k = index(s, "*/")
				if (!k) { s = ""; break }
				s = substr(s, k + 2); open = 0
			} else if (match(s, /"([^"\\]|\\.)*"|\/\*|\/\/.*/)) {
				out = out substr(s, 1, RSTART - 1)
				t = substr(s, RSTART, 2)
				s = substr(s, RSTART + RLENGTH)
				if (t == "/*") open = 1
				else if (t != "//") out = out "\"\""
			} else { out = out s; s = "" }
		}
		print FILENAME ":" FNR ":" out
	}' "$@"
}
