#!/usr/bin/env bats
# onnx-export --fold inside the bodies of control flow and inside model-local functions.
load common
load pb

# body NAME NODES OUT [CONSTANTS]: an attribute that is a graph
body() {
	pb_msg 5 "$(pb_str 1 "$1")$(pb_msg 6 "$2$(pb_str 2 "$1")${4:-}$(pb_msg 12 "$(pb_str 1 "$3")")")$(pb_int 20 5)"
}
one() { pb_msg 1 "$(pb_node "$@")"; }
number() { pb_msg 5 "$(pb_tensor "$1" "$(pb_msg 9 "$2")")"; }
flat=$(pb_msg 5 "$(pb_str 1 keepdims)$(pb_int 3 0)$(pb_int 20 2)")

# decision FILE THEN ELSE [NODES [CONSTANTS]]: y is of THEN where x sums up to more than 0
decision() {
	pb_file "$1" "$(one ReduceSum sum x s "$flat")$(one Greater more 's zero' p)${4:-}$(one If choice p y "$2$3")$(
		pb_str 2 g)$(number zero 00000000)${5:-}$(pb_msg 11 "$(pb_value x 1 4)")$(pb_msg 12 "$(pb_value y 1 4)")"
}

setup() {
	cd "$BATS_TEST_TMPDIR" || return 1
	bytes "$(pb_tensor x "$(pb_msg 9 0000803f000000400000404000008040)" 1 4)" >x.pb       # 1 2 3 4
	bytes "$(pb_tensor x "$(pb_msg 9 000080bf000000c0000040c0000080c0)" 1 4)" >n.pb
}

# same FILE: folded to f.onnx, which computes the same
same() {
	run -0 --separate-stderr onnx-export --fold "$1" -o f.onnx
	[[ $stderr == *verified* ]]
	for x in x.pb n.pb; do
		onnx-run "$1" x=$x >was
		onnx-run f.onnx x=$x >is
		cmp was is
	done
}
has() { grep -aq "$2" "$1"; }
lacks() { refute grep -aq "$2" "$1"; }

@test "constants of a body, and what it reads of constants around" {
	decision d.onnx "$(body then_branch "$(one Exp '' two e)$(one Mul '' 'e chain' c)$(one Add '' 'x c' t)" t \
		"$(number two 00000040)")" "$(body else_branch "$(one Sub '' 'x chain' u)" u)" \
		"$(one Cos '' half nh)$(one Sqrt '' nh chain)" "$(number half 0000003f)"
	same d.onnx
	[[ $stderr == *"folded: 4 nodes that never change in bodies and functions"* ]]
	for op in Exp Mul Cos Sqrt half two; do lacks f.onnx $op; done
	has f.onnx Constant
	has f.onnx chain                                # its name is what the other branch reads
}

@test "an output of a body, a body in a body" {
	inner=$(one If '' p i "$(body then_branch "$(one Exp '' two e)$(one Add '' 'x e' v)" v)$(
		body else_branch "$(one Identity '' x w)" w)")
	decision d.onnx "$(body then_branch "$inner" i "$(number two 00000040)")" "$(
		body else_branch "$(one Neg '' four m)" m "$(pb_msg 5 "$(
			pb_tensor four "$(pb_msg 9 0000803f000000400000404000008040)" 1 4)")")"
	same d.onnx
	for op in Exp Neg two four; do lacks f.onnx $op; done
}

@test "what is random, and what only makes the file larger, stays" {
	shape=$(pb_msg 5 "$(pb_int 1 1)$(pb_int 2 7)$(pb_str 8 shape)$(pb_msg 9 a00f000000000000)")     # 4000
	like=$(pb_msg 5 "$(pb_str 1 shape)$(pb_int 8 4)$(pb_int 20 7)")$(pb_msg 5 "$(pb_str 1 seed)150000803f$(pb_int 20 1)")
	decision d.onnx "$(body then_branch "$(one Expand '' 'two shape' big)$(one ReduceSum '' 'big' r "$flat")$(
		one Mul '' 'x big' q)$(one ReduceSum '' q qs "$flat")$(one Add '' 'r qs' rq)$(one Add '' 'x rq' t)" t \
		"$(number two 00000040)$shape")" "$(body else_branch "$(one RandomNormal '' '' rn "$like")$(
		one Mul '' 'rn zero' nil)$(one Add '' 'x nil' u)" u)"
	run -0 onnx-export --fold --no-verify d.onnx -o f.onnx
	has f.onnx Expand
	has f.onnx RandomNormal
	[ "$(grep -ao ReduceSum f.onnx | wc -l)" = 2 ]      # of three: the sum of twos is a number now
}

@test "a fault in a body that is never taken is no fault" {
	seven=$(pb_msg 5 "$(pb_int 1 1)$(pb_int 2 7)$(pb_str 8 seven)$(pb_msg 9 0700000000000000)")
	decision d.onnx "$(body then_branch "$(one Exp '' two e)$(one Add '' 'x e' t)" t "$(number two 00000040)")" "$(
		body else_branch "$(one Reshape '' 'two seven' z)$(one Add '' 'x z' u)" u "$(number two 00000040)$seven")"
	run -0 onnx-export --fold --no-verify d.onnx -o f.onnx
	onnx-run d.onnx x=x.pb >was
	onnx-run f.onnx x=x.pb >is
	cmp was is
	has f.onnx Reshape
	lacks f.onnx Exp
}

@test "a function of another opset: folded inside, still called, its constant inputs too" {
	fn() { pb_msg 25 "$(pb_str 1 F)$(pb_str 4 a)$(pb_str 4 b)$(pb_str 5 o)$1$(pb_msg 9 "$(pb_int 2 13)")$(pb_str 10 my)"; }
	step() { pb_msg 7 "$(pb_node "$@")"; }
	value=$(pb_msg 5 "$(pb_str 1 value)$(pb_msg 5 "$(pb_tensor q "$(pb_msg 9 00000040)")")$(pb_int 20 4)")
	call() { one F '' "$1" "$2" "$(pb_str 7 my)"; }
	pb_file d.onnx "$(pb_graph "$(one Cos '' half c)$(call 'x c' h)$(call 'h half' y)$(number half 0000003f)")" \
		"$(pb_msg 8 "$(pb_str 1 my)$(pb_int 2 1)")$(fn "$(step Constant '' '' q "$value")$(step Tanh '' q e)$(
			step Mul '' 'a e' m)$(step Shape '' a d)$(step Expand '' 'b d' w)$(step Add '' 'm w' o)")"
	same d.onnx
	[[ $stderr == *"folded: 2 nodes that never change in bodies and functions"* ]]
	for op in Tanh Cos; do lacks f.onnx $op; done
	run -0 onnx-info f.onnx
	[[ $output == *'functions      1'* ]]
	run onnx-diff d.onnx f.onnx
	[[ $output == *'2 nodes the same'* ]]
}
