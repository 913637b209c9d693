#!/usr/bin/env bats
# Model-local functions: run, kept in the file, and faults.
load common
load pb

# fn_node DOMAIN TYPE 'IN...' 'OUT...' [ATTRIBUTES]
fn_node() { pb_node "$2" '' "$3" "$4" "$(pb_str 7 "$1")${5:-}"; }
# fn NAME 'IN...' 'OUT...' NODES-HEX: a FunctionProto of domain my; NODES-HEX has field numbers already
fn() {
	local hex i
	hex=$(pb_str 1 "$1")
	for i in $2; do hex+=$(pb_str 4 "$i"); done
	for i in $3; do hex+=$(pb_str 5 "$i"); done
	hex+=$4$(pb_msg 9 "$(pb_int 2 17)")$(pb_msg 9 "$(pb_str 1 my)$(pb_int 2 1)")$(pb_str 10 my)
	pb_msg 25 "$hex"
}
imports() { pb_msg 8 "$(pb_str 1 my)$(pb_int 2 1)"; }

setup() {
	cd "$BATS_TEST_TMPDIR" || return 1
	bytes "$(pb_tensor x "$(pb_msg 9 0000803f000000400000404000008040)" 1 4)" >x.pb       # 1 2 3 4
	twice=$(fn Twice a b "$(pb_msg 7 "$(fn_node '' Add 'a a' b)")")
	# the name b is Four's own in the middle, and Twice's inside
	four=$(fn Four a c "$(pb_msg 7 "$(fn_node my Twice a b)")$(pb_msg 7 "$(fn_node my Twice b c)")")
}

@test "functions call functions" {
	pb_file f.onnx "$(pb_graph "$(pb_msg 1 "$(fn_node my Four x h)")$(pb_msg 1 "$(fn_node my Twice h y)")")" \
		"$(imports)$twice$four"
	run -0 onnx-run f.onnx x=x.pb
	[[ $output == *'8 16 24 32'* ]]
	run -0 onnx-info f.onnx
	[[ $output == *'functions      2'* ]]
}

@test "an attribute of the call reaches the node inside" {
	local ref slope
	ref=$(pb_msg 5 "$(pb_str 1 alpha)$(pb_int 20 1)$(pb_str 21 slope)")
	slope=$(pb_msg 5 "$(pb_str 1 slope)150000803e$(pb_int 20 1)")                           # 0.25
	leaky=$(fn Leaky a b "$(pb_str 6 slope)$(pb_msg 7 "$(fn_node '' Neg a n)")$(pb_msg 7 "$(
		fn_node '' LeakyRelu n b "$ref")")")
	pb_file f.onnx "$(pb_graph "$(pb_msg 1 "$(fn_node my Leaky x y "$slope")")")" "$(imports)$leaky"
	run -0 onnx-run f.onnx x=x.pb
	[[ $output == *'-0.25 -0.5 -0.75 -1'* ]]
}

@test "a function that calls itself" {
	pb_file f.onnx "$(pb_graph "$(pb_msg 1 "$(fn_node my Round x y)")")" \
		"$(imports)$(fn Round a b "$(pb_msg 7 "$(fn_node my Trip a b)")")$(
		fn Trip a b "$(pb_msg 7 "$(fn_node my Round a b)")")"
	run -3 onnx-run f.onnx x=x.pb
	[[ $output == *"the function 'Round' calls itself"* ]]
	[ "${#lines[@]}" = 1 ]
}

@test "more inputs than the function has" {
	pb_file f.onnx "$(pb_graph "$(pb_msg 1 "$(fn_node my Twice 'x x' y)")")" "$(imports)$twice"
	run -3 onnx-run f.onnx x=x.pb
	[[ $output == *"the call has 2 inputs and 1 outputs, the function 'Twice' 1 and 1"* ]]
}

@test "a function of an older opset stays as it is: nothing in it is left out, and what it reads keeps its name" {
	local axes f
	axes=$(pb_msg 5 "$(pb_str 1 axes)$(pb_int 8 1)$(pb_int 20 7)")          # of ReduceSum before opset 13
	f=$(fn Sums a c "$(pb_msg 7 "$(fn_node '' Identity a b)")$(pb_msg 7 "$(fn_node '' ReduceSum b s "$axes")")$(
		pb_msg 7 "$(fn_node '' Add 'b s' c)")")
	f=$(sed "s/$(pb_msg 9 "$(pb_int 2 17)")/$(pb_msg 9 "$(pb_int 2 12)")/" <<<"$f")
	pb_file f.onnx "$(pb_graph "$(pb_msg 1 "$(fn_node '' Identity x h)")$(pb_msg 1 "$(fn_node my Sums h y)")")" \
		"$(imports)$f"
	run -0 onnx-run f.onnx x=x.pb
	[[ $output == *'11 12 13 14'* ]]
	run -0 onnx-export --fold --drop-idle f.onnx -o g.onnx
	[[ $output == *'0 idle nodes left out'*verified* ]]
	run -0 onnx-info g.onnx
	[[ $output == *'functions      1'* ]]
	run -4 onnx-export --fp16 f.onnx -o g.onnx
	[[ $output == *"a change inside this function cannot be written"* ]]
}
