#!/bin/bash
# Each header can be included alone, first, in any order, and guards itself.
. "$(dirname "$0")/common.bash"
for h in lib/*/*.h; do
	guard=$(sed -n 's/^#ifndef \(ONX_[A-Z0-9_]*_H\)$/\1/p' "$h" | head -n 1)
	[ -n "$guard" ] || { object "$h: no guard ONX_..._H"; continue; }
	echo "$guard $h"
done | LC_ALL=C sort | awk '$1 == last { print $2 ": the guard " $1 " is taken by " file; bad = 1 }
	{ last = $1; file = $2 } /no guard/ { print; bad = 1 } END { exit bad }' || object 'headers need guards of their own'
make -s headers BUILD="${ONX_BUILD:-build}" || object "a header does not compile alone"
verdict
