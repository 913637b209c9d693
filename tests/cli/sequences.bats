#!/usr/bin/env bats
# Sequences whose tensors are computed while running.
load common
load pb

setup() { cd "$BATS_TEST_TMPDIR" || return 1; }

# net POSITION: y = the element of (x W, x W + x W) at POSITION, an int64 of the graph
net() {
	local i w='' f
	f=$(pb_msg 5 "$(pb_str 1 to)$(pb_int 3 7)$(pb_int 20 2)")
	for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16; do w+=cdcc4c3e; done
	pb_file m.onnx "$(pb_graph "$(
		pb_msg 1 "$(pb_node MatMul first 'x W' h)")$(
		pb_msg 1 "$(pb_node Add twice 'h h' h2)")$(
		pb_msg 1 "$(pb_node SequenceConstruct both 'h h2' s)")$(
		pb_msg 1 "$(pb_node ReduceMax top x t "$(pb_msg 5 "$(pb_str 1 keepdims)$(pb_int 3 0)$(pb_int 20 2)")")")$(
		pb_msg 1 "$(pb_node Cast cast t p "$f")")$(
		pb_msg 1 "$(pb_node SequenceAt pick "s $1" y)")$(
		pb_msg 5 "$(pb_tensor W "$(pb_msg 9 "$w")" 4 4)")$(
		pb_msg 5 "$(pb_int 2 7)$(pb_str 8 one)$(pb_msg 9 0100000000000000)")")"
}

@test "planned where positions are known" {
	net one
	run -0 onnx-info --check m.onnx
	[[ $output == *'ready: 16 weights'* ]]
	run -0 onnx-info --plan m.onnx
	[[ $output != *Sequence* ]]
}

@test "where they are not: said, with a way out" {
	net p
	run -1 onnx-info --check m.onnx
	[[ $output == *"input 1 is computed while running"*"onnx-run goes without a plan"* ]]
	run -0 onnx-info m.onnx
	[[ $output == *"no plan        onnx-run computes it node by node: "* && $output != *"cannot run"* ]]
	run -0 onnx-info --json m.onnx
	[[ $output == *'"runs": true'* ]]
	bytes "$(pb_tensor x "$(pb_msg 9 0000803f0000000000000000000080bf)" 1 4)" >x.pb       # 1 0 0 -1
	run -0 onnx-run m.onnx x=x.pb
}
