#!/usr/bin/env bats
# onnx-export: folding, narrow numbers, the batch; and that it verifies what it wrote.
load common

setup() {
	cd "$BATS_TEST_TMPDIR" || return 1
	m=$ONX_TOP/samples/fashion5.onnx
}

size() { stat -c %s "$1"; }

@test "unchanged, but for the marks" {
	onnx-export -q "$m" -o out.onnx
	run -0 onnx-diff --no-meta "$m" out.onnx
}

@test "folded: no BatchNormalization, the same numbers, verified" {
	onnx-export --fold -o out.onnx "$m" 2>err
	grep -E 'folded: 10 BatchNormalization' err
	grep -E 'verified: outputs are off by at most [0-9.e-]+ of the largest \(tolerance 0.0001\)' err
	onnx-info out.onnx | { refute grep -q BatchNormalization; }
}

@test "float16: half the size, inputs and outputs as they were, or not" {
	onnx-export -q --fp16 -o out.onnx "$m"
	[ $(($(size out.onnx) * 10)) -lt $(($(size "$m") * 6)) ]
	onnx-info out.onnx | grep -E '^inputs .*x  float \['
	onnx-export -q --fp16 --fp16-io -o io.onnx "$m"
	onnx-info io.onnx | grep -E '^inputs .*x  float16 \['
	onnx-info io.onnx | grep -E '^outputs .* float16 \['
	onnx-info io.onnx | { refute grep -q Cast; }
	fault 2 "'fp16-io' needs 'fp16'" onnx-export --fp16-io "$m"
}

@test "int8: a third of the size; by Cast and Mul in old files" {
	onnx-export -q --int8 -o out.onnx "$m"
	[ $(($(size out.onnx) * 10)) -lt $(($(size "$m") * 4)) ]
	onnx-info out.onnx | grep -q DequantizeLinear
	fault 2 "exclude each other" onnx-export --int8 --fp16 "$m"
	model mobilenet_v1_0.25_224.onnx
	onnx-export -q --int8 -o old.onnx "$m"
	if onnx-info "$m" | grep -q 'ai.onnx \([789]\|1[012]\)\b'; then
		onnx-info old.onnx | { refute grep -q DequantizeLinear; }
	fi
}

@test "the batch is what was asked for" {
	onnx-export -q --batch 4 -o out.onnx "$m"
	onnx-info out.onnx | grep -E '^inputs  *x  float \[4,1,28,28\]$'
	onnx-info out.onnx | grep -E '^outputs .*\[4,5\]'
	fault 5 "has batch 4; --batch sym first" onnx-export --batch 2 out.onnx
	model ultraface_RFB_320.onnx
	onnx-export -q --batch sym "$m" | onnx-info | grep -E '^inputs .*\[batch,3,240,320\]$'
	fault 2 "'batch' must be 'sym' or a number" onnx-export --batch some "$m"
}

@test "what is off by more than the tolerance is not written" {
	fault 8 "verifying the exported model \(tolerance 1e-09" onnx-export -q --int8 --tol 1e-9 -o out.onnx "$m"
	[ ! -e out.onnx ]
	onnx-export -q --int8 --tol 1e-9 --no-verify -o out.onnx "$m"
	onnx-export --fp16 --drop-idle out.onnx -o twice.onnx
}

@test "onnx-run --bench repairs a batch that is baked in, or says why not" {
	model mnist-7-cntk.onnx
	onnx-run --bench 1 --batch 4 "$m" >speed.txt
	grep -q 'samples/s' speed.txt
	onnx-freeze -q --none "$m" | onnx-train -q --bench 1 --batch 4 --profile >table.txt
	grep -q ' backward ' table.txt
}
