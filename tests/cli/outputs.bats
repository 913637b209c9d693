#!/usr/bin/env bats
# onnx-diff --data: what two models compute from the same data.
load common

setup() {
	cd "$BATS_TEST_TMPDIR" || return 1
	m=$ONX_TOP/samples/fashion5.onnx
	for c in bag boot shirt; do
		mkdir -p "few/$c"
		find "$ONX_TOP/samples/test/$c" -name '*.png' | sort | head -n 7 | xargs -I{} cp {} "few/$c/"
	done
	{ printf '\x93NUMPY\x01\x00\x76\x00%-117s\n' \
		"{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1, 28, 28), }"
	head -c 3136 /dev/zero; } >x.npy
}

@test "the same model agrees with itself to the bit, whatever the batch and the threads" {
	onnx-freeze -q --none "$m" -o marked.onnx
	run -0 onnx-diff --data few --tol 0 --batch 4 --threads 2 "$m" marked.onnx
	[[ "$output" == *"off by at most 0"*"21 of 21 samples"*"outputs agree (tolerance 0)"* ]]
	onnx-freeze -q --none "$m" | onnx-diff --data x=x.npy "$m" -
}

@test "folded and narrow ones are apart as far as they say" {
	onnx-export -q --fold "$m" -o folded.onnx
	onnx-export -q --int8 "$m" -o int8.onnx
	run -0 onnx-diff --data few "$m" folded.onnx
	run -1 onnx-diff --data few "$m" int8.onnx
	[[ "$output" == *"outputs differ (tolerance 0.0001)"* ]]
	run -0 onnx-diff --data few --tol 0.1 --json "$m" int8.onnx
	[[ "$output" == *'"same": true'*'"top1_agreement": '*'"accuracy_b": '* ]]
	run -1 onnx-diff --data x=x.npy "$m" int8.onnx
}

@test "a file with a batch of its own, and one that takes float16" {
	onnx-export -q --batch 5 "$m" -o five.onnx
	run -0 onnx-diff --data few "$m" five.onnx
	[[ "$output" == *"1 samples left out"*"samples   20"* ]]
	onnx-export -q --fp16 --fp16-io "$m" -o half.onnx
	run -0 onnx-diff --data few --tol 0.05 "$m" half.onnx
}

@test "models and data that do not go together" {
	onnx-head -q --classes 3 "$m" -o three.onnx
	fault 5 "output .* has 5 numbers in the first model and 3 in the second" onnx-diff --data x=x.npy "$m" three.onnx
	onnx-head -q --input a:float:Nx4 --layers 'gemm:5' -o four.onnx
	fault 5 . onnx-diff --data x=x.npy "$m" four.onnx
	fault 2 "one source of samples, or NAME=FILE" onnx-diff --data few --data few "$m" "$m"
	fault 2 "no input 'y'; nearest is 'x'" onnx-diff --data y=x.npy "$m" "$m"
	fault 6 "nothing" onnx-diff --data nothing "$m" "$m"
}
