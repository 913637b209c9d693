#!/bin/bash
# Files of at most 800 lines (400 is the aim), functions of at most 60, lines of at most 120 columns
# (100 is the aim; a tab is 8).  Case tables (*.inc) are tables: 240.
. "$(dirname "$0")/common.bash"
# shellcheck disable=SC2016
mapfile -t found < <(find lib tools tests proto -name '*.[ch]' -o -name '*.inc' -o -name '*.proto' |
	LC_ALL=C sort | xargs awk '
	function width(s,   n, i, c) {
		n = 0
		for (i = 1; i <= length(s); i++) {
			c = substr(s, i, 1)
			n = c == "\t" ? n + 8 - n % 8 : n + 1
		}
		return n
	}
	FNR == 1 { start = 0 }
	FNR == 801 { print FILENAME ": more than 800 lines" }
	length($0) > 40 && width($0) > (FILENAME ~ /inc$/ ? 240 : 120) { print FILENAME ":" FNR ": " width($0) " columns" }
	/^\{/ && FILENAME ~ /\.c$/ { start = FNR }
	/^\}/ && start {
		if (FNR - start - 1 > 60) print FILENAME ":" start ": a function of " FNR - start - 1 " lines"
		start = 0
	}')
for f in "${found[@]}"; do object "$f"; done
verdict
