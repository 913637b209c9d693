# What the tests of the programs share.  Each case runs in a folder of its own.
bats_require_minimum_version 1.5.0

setup() {
	cd "$BATS_TEST_TMPDIR" || return 1
}

# tools: the programs that were built
tools() {
	local t
	for t in "$ONX_BUILD"/bin/onnx-*; do
		[ -x "$t" ] && basename "$t"
	done
}

# model NAME: $m is a real download beside the repository, or the case is skipped by name.  Not to be
# called in a sub-shell, which cannot skip the case.
model() {
	[ -n "${ONX_SHARED:-}" ] && [ -f "$ONX_SHARED/models/$1" ] || skip "no ../shared/models/$1"
	m=$ONX_SHARED/models/$1
}

# fault STATUS PATTERN COMMAND...: exit status, one line on standard error that matches, nothing on
# standard output
fault() {
	local want=$1 pattern=$2 status=0
	shift 2
	"$@" >out.txt 2>err.txt || status=$?
	[ "$status" = "$want" ] || { echo "status $status, not $want: $(cat err.txt)"; return 1; }
	[ "$(wc -l <err.txt)" = 1 ] || { echo "not one line: $(cat err.txt)"; return 1; }
	[ ! -s out.txt ] || { echo "something on standard output: $(head -c 200 out.txt)"; return 1; }
	grep -qE -- "$pattern" err.txt || { echo "no '$pattern' in: $(cat err.txt)"; return 1; }
}

# A plain `! command` never fails a case, because set -e passes negated commands over.
refute() {
	! "$@"
}
