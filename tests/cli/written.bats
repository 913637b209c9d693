#!/usr/bin/env bats
# Operators of com.microsoft that the graph has as others put together: run, and kept in the file.
load common
load pb

# node TYPE IN OUT [ATTRIBUTES]
node() {
	pb_msg 1 "$(pb_node "$1" "n_$3" "$2" "$3" "$(pb_str 7 com.microsoft)${4:-}")"
}

# file NODES: s is 0.5, t is 1, z the uint8 0
file() {
	pb_file q.onnx "$(pb_graph "$1$(pb_msg 5 "$(pb_tensor s "$(pb_msg 9 0000003f)")")$(
		pb_msg 5 "$(pb_tensor t "$(pb_msg 9 0000803f)")")$(
		pb_msg 5 "$(pb_int 2 2)$(pb_str 8 z)$(pb_msg 9 00)")")" \
		"$(pb_msg 8 "$(pb_str 1 com.microsoft)$(pb_int 2 1)")"
}

setup() {
	cd "$BATS_TEST_TMPDIR" || return 1
	bytes "$(pb_tensor x "$(pb_msg 9 0000803f000000400000404000008040)" 1 4)" >x.pb       # 1 2 3 4
	file "$(node QuantizeLinear 'x s z' q)$(node QLinearAdd 'q s z q s z t z' r)$(node DequantizeLinear 'r t z' y)"
}

@test "quantised numbers are added" {
	run -0 onnx-run q.onnx x=x.pb
	[[ $output == *'2 4 6 8'* ]]
}

@test "quantised numbers stand side by side" {
	file "$(node QuantizeLinear 'x s z' q)$(
		node QLinearConcat 't z q s z q s z' r "$(pb_msg 5 "$(pb_str 1 axis)$(pb_int 3 0)$(pb_int 20 2)")")$(
		node DequantizeLinear 'r t z' y)"
	run -0 onnx-run q.onnx x=x.pb
	[[ $output == *'1 2 3 4 1 2 3 4'* ]]
}

@test "the file keeps its own operators" {
	run -0 onnx-freeze --all q.onnx -o g.onnx
	run -1 onnx-diff q.onnx g.onnx                  # its marks are new
	[[ $output == *'3 nodes the same'* ]]
	[ "$(grep -c QLinearAdd g.onnx)" -gt 0 ]
	run -0 onnx-run g.onnx x=x.pb
	[[ $output == *'2 4 6 8'* ]]
}

@test "a zero point that is not there is 0 in the type of the first numbers" {
	file "$(node QuantizeLinear 'x s z' q)$(node QLinearAdd 'q s z q s z t' r)$(node DequantizeLinear 'r t z' y)"
	run -0 onnx-run q.onnx x=x.pb
	[[ $output == *'2 4 6 8'* ]]
}

@test "sums with a bias" {
	file "$(node BiasAdd 'x s t' y)"
	run -0 onnx-run q.onnx x=x.pb
	[[ $output == *'2.5 3.5 4.5 5.5'* ]]
}

@test "of another opset than the file's: run and kept" {
	file "$(node BiasSplitGelu 'x z4' g)$(node BiasAdd 'g s t' y)$(pb_msg 5 "$(pb_tensor z4 "$(
		pb_msg 9 00000000000000000000000000000000)" 4)")"
	run -0 onnx-run q.onnx x=x.pb           # 1 gelu(3) + 1.5, 2 gelu(4) + 1.5
	[[ $output == *'4.49595'*' 9.49974'* ]]
	run -0 onnx-freeze --all q.onnx -o g.onnx
	[ "$(grep -c BiasSplitGelu g.onnx)" -gt 0 ]
	run -0 onnx-run g.onnx x=x.pb
	[[ $output == *'4.49595'*' 9.49974'* ]]
}

@test "attributes decide: channels in front" {
	local c v
	c=$(pb_msg 5 "$(pb_str 1 groups)$(pb_int 3 2)$(pb_int 20 2)")$(pb_msg 5 "$(pb_str 1 channels_last)$(pb_int 3 0)$(
		pb_int 20 2)")
	v=$(pb_msg 5 "$(pb_tensor one "$(pb_msg 9 0000803f0000803f0000803f0000803f)" 4)")$(
		pb_msg 5 "$(pb_tensor zero "$(pb_msg 9 00000000000000000000000000000000)" 4)")
	file "$(node GroupNorm 'x one zero' y "$c")$v"
	run -0 onnx-run q.onnx x=x.pb
	[[ $output == *'-0.99997'*' 0.99997'*' -0.99997'*' 0.99997'* ]]
	file "$(node GroupNorm 'x one zero' y "$c$(pb_msg 5 "$(pb_str 1 activation)$(pb_int 3 7)$(pb_int 20 2)")")$v"
	run -4 onnx-run q.onnx x=x.pb
	[[ $output == *"'GroupNorm' of domain 'com.microsoft'"* ]]
	[ "${#lines[@]}" = 1 ]
}

@test "scores of one query as an output" {
	local k a
	k=$(pb_msg 5 "$(pb_tensor k "$(pb_msg 9 0000803f0000000000000000000000000000000000000000000000000000803f)" 1 1 2 4)")
	a=$(pb_msg 5 "$(pb_str 1 num_heads)$(pb_int 3 1)$(pb_int 20 2)")$(pb_msg 5 "$(pb_str 1 output_qk)$(pb_int 3 1)$(
		pb_int 20 2)")
	pb_file d.onnx "$(node DecoderMaskedMultiHeadAttention 'x k k' 'a b c y' "$a")$k$(pb_str 2 g)$(
		pb_msg 11 "$(pb_value x 1 1 4)")$(pb_msg 12 "$(pb_value y 1 1 1 2)")" \
		"$(pb_msg 8 "$(pb_str 1 com.microsoft)$(pb_int 2 1)")"
	bytes "$(pb_tensor x "$(pb_msg 9 0000803f000000400000404000008040)" 1 1 4)" >x3.pb
	run -0 onnx-run d.onnx x=x3.pb          # 1/2 [1 2 3 4] . [1 0 0 0], . [0 0 0 1]
	[[ $output == *'0.5 2'* ]]
}

@test "what the page says is not there is not" {
	local page=$BATS_TEST_DIRNAME/../../docs/microsoft.md name
	onnx-info --ops --page >ops.md
	for name in $(sed -n '/^## Not supported/,$p' "$page" | grep -oE '`[A-Z][A-Za-z0-9]+`' | tr -d '`'); do
		refute grep -qE "com.microsoft \\| $name \\||^Operators of com.microsoft .*[ :]$name[,.]" ops.md
	done
}
