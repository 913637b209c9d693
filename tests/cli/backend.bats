#!/usr/bin/env bats
# onnx-run --test on the data of ONNX's own backend tests (Debian's libonnx-testdata).
load common

data() {
	[ -d /usr/share/libonnx-testdata/data ] || skip "no libonnx-testdata"
	echo /usr/share/libonnx-testdata/data
}

@test "every test of the manifest passes, no other does" {
	[ -d /usr/share/libonnx-testdata/data ] || skip "no libonnx-testdata"
	run -0 onnx-run --test --list "$ONX_TOP/tests/onnx/manifest.txt" "$(data)"
	[[ "${lines[-1]}" =~ ^[0-9]+\ passed,\ 0\ failed,\ [0-9]+\ skipped$ ]]
	[ "${lines[-1]%% *}" = "$(grep -vc '^#' "$ONX_TOP/tests/onnx/manifest.txt")" ]
}

@test "the manifest gives a reason for each test that it leaves out" {
	refute grep -vE '^([a-z-]+/[A-Za-z0-9_]+|# .*[^ ])$' "$ONX_TOP/tests/onnx/manifest.txt"
	grep '^# [a-z-]*/' "$ONX_TOP/tests/onnx/manifest.txt" >left_out.txt
	refute grep -vE '^# [a-z-]+/[A-Za-z0-9_]+: .+' left_out.txt
}

@test "an unexpected pass and a listed failure are failures" {
	[ -d /usr/share/libonnx-testdata/data ] || skip "no libonnx-testdata"
	echo node/test_bernoulli >list.txt
	run -1 --separate-stderr onnx-run --test --list list.txt "$(data)/node/test_abs" "$(data)/node/test_bernoulli"
	[[ "${lines[0]}" == "FAIL node/test_abs: unexpected pass"* ]]
	[[ "${lines[1]}" == "FAIL node/test_bernoulli: "* ]]
	[ "${lines[2]}" = "0 passed, 2 failed, 0 skipped" ]
}

@test "a wrong output is seen" {
	[ -d /usr/share/libonnx-testdata/data ] || skip "no libonnx-testdata"
	cp -r "$(data)/node/test_abs" test_abs
	cp test_abs/test_data_set_0/input_0.pb test_abs/test_data_set_0/output_0.pb
	run -1 --separate-stderr onnx-run --test test_abs
	[[ "${lines[0]}" == *"elements differ"* ]]
	[ "${lines[1]}" = "0 passed, 1 failed, 0 skipped" ]
}
