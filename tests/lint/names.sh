#!/bin/bash
# A name says what is inside.  In lib/ the folder is part of it, as includes spell it, so a layer may name
# a file like the one below it (kernel/gemm.c, op/gemm.c); three of one name, or one in tools/ named
# like one in lib/, confuse.
. "$(dirname "$0")/common.bash"
while read -r name; do
	where=$(sources | grep "/$name\$" | tr '\n' ' ')
	[ "$(wc -w <<<"$where")" -le 2 ] && [[ $where != *tools/* ]] || object "$name: $where"
done < <(sources | sed 's:.*/::' | LC_ALL=C sort | uniq -d)
verdict
