#!/bin/bash
# A name says what is inside.  In lib/ the folder is part of it, as includes spell it, so a layer may name
# a file like the one below it (kernel/gemm.c, op/gemm.c); three of one name, or one in tools/ named
# like one in lib/, confuse.
. "$(dirname "$0")/common.bash"
while read -r name; do
	where=$(sources | grep "/$name\$" | tr '\n' ' ')
	if [ "$(wc -w <<<"$where")" -gt 2 ] || [[ $where = *tools/* ]]; then
		object "$name: $where"
	fi
done < <(sources | sed 's:.*/::' | LC_ALL=C sort | uniq -d)
verdict
