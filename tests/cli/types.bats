#!/usr/bin/env bats
# Element types that are younger than the operators which hand tensors on: through Loop, Scan, If, optionals and
# sequences, in bodies as their versions up to opset 28 have it.
load common
load pb

setup() { cd "$BATS_TEST_TMPDIR" || return 1; }

# port NAME TYPE: a ValueInfoProto of a tensor without a shape
port() { printf %s "$(pb_str 1 "$1")$(pb_msg 2 "$(pb_msg 1 "$(pb_int 1 "$2")")")"; }
# same IN OUT: an Identity in a graph
same() { pb_msg 1 "$(pb_node Identity "$2" "$1" "$2")"; }
# body NAME HEX: an attribute that is a graph
body() { pb_msg 5 "$(pb_str 1 "$1")$(pb_msg 6 "$2$(pb_str 2 "$1")")$(pb_int 20 5)"; }
# whole NAME N: an attribute
whole() { pb_msg 5 "$(pb_str 1 "$1")$(pb_int 3 "$2")$(pb_int 20 2)"; }
# stored NAME TYPE HEX [DIM]: an initializer
stored() { pb_msg 5 "${4:+$(pb_int 1 "$4")}$(pb_int 2 "$2")$(pb_str 8 "$1")$(pb_msg 9 "$3")"; }

# way TYPE HEX: y = two turns of the two elements HEX, through all of them
way() {
	local t=$1 graph
	graph=$(stored x "$t" "$2" 2)$(stored n 7 0200000000000000)$(stored zero 7 0000000000000000)$(stored c 9 01)
	graph+=$(pb_msg 1 "$(pb_node Loop loop 'n c x' 'last all' "$(body body "$(same go on)$(same s t)$(same s u)$(
		pb_msg 11 "$(port i 7)")$(pb_msg 11 "$(port go 9)")$(pb_msg 11 "$(port s "$t")")$(
		pb_msg 12 "$(port on 9)")$(pb_msg 12 "$(port t "$t")")$(pb_msg 12 "$(port u "$t")")")")")
	graph+=$(pb_msg 1 "$(pb_node Scan scan all rows "$(body body "$(same e f)$(
		pb_msg 11 "$(port e "$t")")$(pb_msg 12 "$(port f "$t")")")$(whole num_scan_inputs 1)")")
	graph+=$(pb_msg 1 "$(pb_node If if c one "$(
		body then_branch "$(same rows a)$(pb_msg 12 "$(port a "$t")")")$(
		body else_branch "$(same all b)$(pb_msg 12 "$(port b "$t")")")")")
	graph+=$(pb_msg 1 "$(pb_node Optional maybe one o)")$(pb_msg 1 "$(pb_node OptionalGetElement get o two)")
	graph+=$(pb_msg 1 "$(pb_node SequenceConstruct both 'two one' q)")$(
		pb_msg 1 "$(pb_node SequenceInsert more 'q one zero' r)")
	graph+=$(pb_msg 1 "$(pb_node ConcatFromSequence join r three "$(whole axis 0)")")$(
		pb_msg 1 "$(pb_node SplitToSequence cut three s "$(whole axis 0)")")
	graph+=$(pb_msg 1 "$(pb_node SequenceAt pick 's zero' four)")$(
		pb_msg 1 "$(pb_node Cast cast four y "$(whole to 1)")")
	bytes "$(pb_int 1 14)$(pb_msg 7 "$graph$(pb_str 2 g)$(pb_msg 12 "$(port y 1)")")$(
		pb_msg 8 "$(pb_int 2 28)")" >m.onnx
	run -0 onnx-run m.onnx
	[[ $output == *'float [1,2]'* ]]
}

@test "float16, bfloat16 and double" {
	way 10 003c0040
	[[ $output == *' 1 2' ]]
	way 16 803f0040
	[[ $output == *' 1 2' ]]
	way 11 000000000000f03f0000000000000040
	[[ $output == *' 1 2' ]]
}

@test "floats of 8 bits" {
	way 17 3840
	[[ $output == *' 1 2' ]]
	way 18 4048
	[[ $output == *' 1 2' ]]
	way 19 3c40
	[[ $output == *' 1 2' ]]
	way 20 4044
	[[ $output == *' 1 2' ]]
	way 24 7f80
	[[ $output == *' 1 2' ]]
}

@test "floats of 4 and 6 bits" {
	way 23 42
	[[ $output == *' 1 2' ]]
	way 27 0804
	[[ $output == *' 1 2' ]]
	way 28 0c04
	[[ $output == *' 1 2' ]]
}

@test "whole numbers of 2, 4 and 8 bits" {
	way 21 21
	[[ $output == *' 1 2' ]]
	way 22 e1
	[[ $output == *' 1 -2' ]]
	way 25 09
	[[ $output == *' 1 2' ]]
	way 26 09
	[[ $output == *' 1 -2' ]]
	way 3 01fe
	[[ $output == *' 1 -2' ]]
	way 9 0001
	[[ $output == *' 0 1' ]]
}
