#!/usr/bin/env bats
# Loops that only their condition ends, and that it does not end.
load common
load pb

typed() { pb_str 1 "$1"; pb_msg 2 "$(pb_msg 1 "$(pb_int 1 "$2")$(pb_msg 2 '')")"; }     # NAME TYPE: a scalar
one() { pb_msg 1 "$(pb_node "$@")"; }
number() { pb_msg 5 "$(pb_tensor "$1" "$(pb_msg 9 "$2")")"; }
flat=$(pb_msg 5 "$(pb_str 1 keepdims)$(pb_int 3 0)$(pb_int 20 2)")

# loop FILE NODES 'INPUTS': the body makes v1 and the condition d of the turn i, the condition c and v
loop() {
	pb_file "$1" "$(one Loop walk "$3" y "$(pb_msg 5 "$(pb_str 1 body)$(pb_msg 6 "$2$(pb_str 2 body)$(
		pb_msg 11 "$(typed i 7)")$(pb_msg 11 "$(typed c 9)")$(pb_msg 11 "$(pb_str 1 v)")$(
		pb_msg 12 "$(typed d 9)")$(pb_msg 12 "$(pb_str 1 v1)")")$(pb_int 20 5)")")$(pb_str 2 g)$(
		number one 0000803f)$(number half 0000003f)$(number zero 00000000)$(number far 00401c46)$(
		pb_msg 5 "$(pb_int 2 9)$(pb_str 8 yes)$(pb_msg 9 01)")$(
		pb_msg 5 "$(pb_int 2 7)$(pb_str 8 most)$(pb_msg 9 ffffffffffffff7f)")$(
		pb_msg 5 "$(pb_int 2 7)$(pb_str 8 many)$(pb_msg 9 0000000200000000)")$(
		pb_msg 11 "$(pb_value x 1 4)")$(pb_msg 12 "$(pb_value y 1 4)")"
}
never() {
	run timeout 60 onnx-run "$1" x=x.pb
	[ "$status" = 4 ]
	[[ $output == *"$2"*"Loop 'walk'"* ]]
	[ "${#lines[@]}" = 1 ]
}

setup() {
	cd "$BATS_TEST_TMPDIR" || return 1
	bytes "$(pb_tensor x "$(pb_msg 9 0000803f000000400000404000008040)" 1 4)" >x.pb       # 1 2 3 4
}

@test "no number of turns, and a condition that is passed on or stands around the loop" {
	loop e.onnx "$(one Add '' 'v one' v1)$(one Identity '' c d)" 'most yes x'
	never e.onnx "it never ends: it has no number of turns, and its condition stays true"
	loop e.onnx "$(one Add '' 'v one' v1)$(one Identity '' yes d)" 'most yes x'
	never e.onnx "its condition stays true"
	loop e.onnx "$(one Add '' 'v one' v1)$(one Identity '' c d)" 'many yes x'
	never e.onnx "33554432 turns, and its condition stays true; at most 16777216 are run"
}

@test "a condition that is computed, of states that no longer change" {
	loop e.onnx "$(one Mul '' 'v half' v1)$(one ReduceSum '' v1 s "$flat")$(one GreaterOrEqual '' 's zero' d)" 'most yes x'
	never e.onnx "it never ends: its condition stays true, and turn 152 changes nothing any more"
}

@test "ten thousand turns are no reason to stop, nor to hold more memory" {
	loop e.onnx "$(one Add '' 'v one' v1)$(one ReduceMax '' v1 s "$flat")$(one Less '' 's far' d)" 'most yes x'
	run -0 onnx-run e.onnx x=x.pb
	[[ $output == *'9997 9998 9999 10000'* ]]
}
