#!/bin/bash
# Functions that cannot be used safely anywhere, what lib/ may not do (print, exit), and notes to self.
. "$(dirname "$0")/common.bash"
never='strcpy|strcat|strncpy|strncat|sprintf|vsprintf|strtok|atoi|atol|atoll|atof|gets|alloca|tmpnam|mktemp|rand|srand'
quiet='printf|vprintf|fprintf|vfprintf|puts|putchar|fputs|perror|exit|_exit|abort|signal|sigaction|setlocale'
mapfile -t files < <(find lib tools tests -name '*.[ch]' -o -name '*.inc' | LC_ALL=C sort)
while read -r hit; do object "$hit"; done < <(
	code "${files[@]}" | grep -E "(^|[^A-Za-z0-9_.>])($never) *\("
	code "${files[@]}" | grep -v '^tests/' | grep -E "(^|[^A-Za-z0-9_.>])(system|popen) *\("
	code "${files[@]}" | grep '^lib/' | grep -E "(^|[^A-Za-z0-9_.>])($quiet) *\("
	grep -nHE '\b(TODO|FIXME|XXX)\b' "${files[@]}")
verdict
