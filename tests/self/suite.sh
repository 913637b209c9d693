#!/bin/bash
# The runner is tested first: a runner that cannot fail proves nothing.  The programs beside this one
# pass, fail, crash, lie and skip on purpose, and the sum must show each of them.
here=$(dirname "$0")
n=0
check() {       # check NAME WANT GOT
	n=$((n + 1))
	if [ "$2" = "$3" ]; then echo "ok $n - $1"; else
		echo "not ok $n - $1"; echo "wanted '$2', found '$3'"; fi
}
sum() { "$here/../run" --only "$@" | tail -n 1; }

check "a passing program counts as passed" "2 passed, 0 failed" "$(sum "$here/passes")"
check "a failing case counts as failed" "1 passed, 1 failed" "$(sum "$here/fails")"
check "a crash counts as failed" "1 passed, 1 failed" "$(sum "$here/crashes")"
check "a program that says ok and exits 1 counts as failed" "1 passed, 1 failed" "$(sum "$here/lies")"
check "a program that stops before its plan counts as failed" "1 passed, 1 failed" "$(sum "$here/stops")"
check "a program without cases counts by its status" "0 passed, 1 failed" "$(sum false)"
check "a skipped case is not passed" "0 passed, 0 failed, 2 skipped" "$(sum "$here/skips")"
check "a hanging program is stopped" "0 passed, 1 failed" "$(ONX_TEST_SECONDS=1 sum "$here/hangs")"
check "sums" "5 passed, 3 failed, 2 skipped" \
	"$(sum "$here/passes" "$here/fails" "$here/crashes" "$here/lies" "$here/skips")"
"$here/../run" --only "$here/fails" >/dev/null
check "the runner's own status is 1 after a failure" 1 $?
"$here/../run" --only "$here/passes" >/dev/null
check "the runner's own status is 0 without one" 0 $?
