#!/usr/bin/env bats
# FlexAttention of ai.onnx.preview: run with its modifiers, kept in the file.
load common
load pb

# modifier NAME TYPE: an attribute that is a graph of one node
modifier() {
	pb_msg 5 "$(pb_str 1 "$1")$(pb_msg 6 "$(pb_msg 1 "$(pb_node "$2" '' s t)")$(pb_str 2 "$1")$(
		pb_msg 11 "$(pb_str 1 s)")$(pb_msg 12 "$(pb_str 1 t)")")$(pb_int 20 5)"
}

setup() {
	cd "$BATS_TEST_TMPDIR" || return 1
	bytes "$(pb_tensor x "$(pb_msg 9 0000803f000000400000404000008040)" 1 1 2 2)" >x.pb   # 1 2, 3 4
	# scores 5 11, 11 25; the smaller one of each row wins, and rounding makes it 1
	pb_file f.onnx "$(pb_msg 1 "$(pb_node FlexAttention flex 'x x x' y "$(pb_str 7 ai.onnx.preview)$(
		modifier score_mod Neg)$(modifier prob_mod Round)")")$(pb_str 2 g)$(
		pb_msg 11 "$(pb_value x 1 1 2 2)")$(pb_msg 12 "$(pb_value y 1 1 2 2)")" \
		"$(pb_msg 8 "$(pb_str 1 ai.onnx.preview)$(pb_int 2 1)")"
}

@test "FlexAttention with both modifiers" {
	run -0 onnx-run f.onnx x=x.pb
	[[ $output == *'1 2 1 2'* ]]
}

@test "FlexAttention stays in the file" {
	run -0 onnx-freeze --all f.onnx -o g.onnx
	run -1 onnx-diff f.onnx g.onnx                  # its marks are new
	[[ $output == *'1 nodes the same'* ]]
	onnx-export --fp16 f.onnx -o h.onnx
	run -0 onnx-run h.onnx x=x.pb
	[[ $output == *'1 2 1 2'* ]]
	[ "$(grep -c FlexAttention h.onnx)" -gt 0 ]
}

@test "a modifier that changes the shape" {
	pb_file f.onnx "$(pb_msg 1 "$(pb_node FlexAttention flex 'x x x' y "$(pb_str 7 ai.onnx.preview)$(
		modifier prob_mod Shape)")")$(pb_str 2 g)$(
		pb_msg 11 "$(pb_value x 1 1 2 2)")$(pb_msg 12 "$(pb_value y 1 1 2 2)")" \
		"$(pb_msg 8 "$(pb_str 1 ai.onnx.preview)$(pb_int 2 1)")"
	run -5 onnx-run f.onnx x=x.pb
	[[ $output == *'modified probabilities are int64 of shape [4], wanted float of [1,1,2,2]'* ]]
	[ "${#lines[@]}" = 1 ]
}
