#!/usr/bin/env bats
# Shapes that depend on the numbers: run, trained and scored, each batch with its own.
load common
load pb

rows() { pb_msg 2 "$(pb_msg 1 "$(pb_int 1 1)$(pb_msg 2 "$(pb_msg 1 "$(pb_str 2 N)")$(pb_msg 1 "$(pb_int 1 "$1")")")")"; }
attr() { pb_msg 5 "$(pb_str 1 "$1")$(pb_int 3 "$2")$(pb_int 20 2)"; }
node() { pb_msg 1 "$(pb_node "$@")"; }
real() { pb_msg 5 "$(pb_tensor "$1" "$(pb_msg 9 "$2")")"; }

# net FILE NODES: f = x W, the nodes make s of it, y = (f tanh s) V; ONE: the input and output of a batch of 1
net() {
	local i w='' v='' x y
	x=$(pb_str 1 x)$(rows 4) y=$(pb_str 1 y)$(rows 2)
	[ -z "${3:-}" ] || { x=$(pb_value x 1 4); y=$(pb_value y 1 2); }
	for i in cdcccc3d cdcc4cbe cdcccc3e 9a99993e cdccccbd 0000003f 000000bf 9a9919bf; do w+=$i; done
	for i in cdcccc3d cdcc4cbe cdcccc3e 9a99993e; do v+=$i; done
	pb_file "$1" "$(node MatMul first 'x W' f)$2$(node Tanh slope s t)$(node Mul by 'f t' h)$(
		node MatMul last 'h V' y)$(pb_str 2 g)$(
		pb_msg 5 "$(pb_tensor W "$(pb_msg 9 "$w")" 4 2)")$(pb_msg 5 "$(pb_tensor V "$(pb_msg 9 "$v")" 2 2)")$(
		real limit 0000003e)$(real zero 00000000)$(pb_msg 11 "$x")$(pb_msg 12 "$y")"
}
# npy FILE TYPE SHAPE HEX
npy() {
	local head="{'descr': '$2', 'fortran_order': False, 'shape': $3, }"
	printf '\x93NUMPY\x01\x00\x76\x00%-117s\n' "$head" >"$1"
	bytes "$4" >>"$1"
}
flat() { node ReduceSum total "$1" s "$(attr keepdims 0)"; }

setup() {
	cd "$BATS_TEST_TMPDIR" || return 1
	local above
	above=$(node Greater above 'f limit' g)
	# the sum of all above a limit: those alone, and all with zeros for the others
	net some.onnx "$above$(node NonZero where g z)$(node Transpose turned z zt)$(node GatherND these 'f zt' e)$(flat e)"
	net masked.onnx "$above$(node Where those 'g f zero' e)$(flat e)"
	awk 'BEGIN { srand(3); print "a,b,c,d,kind"
		for (i = 0; i < 60; i++) { k = i % 2; s = i % 12 < 6 ? 1 : -1
			printf "%.3f,%.3f,%.3f,%.3f,%s\n", rand() + k, rand() - k, s * rand(), s * rand(), k ? "p" : "q" } }' \
		>d.csv
}

on() { onnx-train --data d.csv --target kind --batch 6 --no-shuffle --seed 4 --lr 0.1 "${@:2}" "$1"; }

@test "what shapes depend on is said" {
	run -0 onnx-info --check some.onnx
	[[ $output == *"shapes depend on the numbers: NonZero 'where'"*"ready: 12 weights"* ]]
	run -0 onnx-run --bench 2 --batch 6 some.onnx
	[[ $output == *"behind what can be planned"*"samples/s"* ]]
	run -0 onnx-info some.onnx
	[[ $output == *"no plan yet    each batch is planned for its own shapes: "*NonZero* && $output != *"cannot run"* ]]
	run -0 onnx-info --json some.onnx
	[[ $output == *'"runs": true'*'"why_not": '* ]]
}

@test "trained through: as the same net without such shapes, with any number of threads" {
	onnx-freeze --none some.onnx -o some.t
	onnx-freeze --none masked.onnx -o masked.t
	on some.t --epochs 4 --threads 1 -o a.onnx 2>said.txt
	grep -q 'shapes depend on the numbers of each batch' said.txt
	on some.t --epochs 4 --threads 3 -o b.onnx
	cmp a.onnx b.onnx
	on masked.t --epochs 4 -o c.onnx
	onnx-diff --rtol 1e-5 --no-meta --no-info a.onnx c.onnx >diff.txt || true
	grep -q "of the weights" diff.txt
	refute grep -qE "weight '[WV]'" diff.txt
	refute cmp a.onnx some.t
	run -0 onnx-eval --json --data d.csv --target kind a.onnx
	loss=$(grep -o '"loss": [0-9.]\{6\}' <<<"$output")
	run -0 onnx-eval --json --data d.csv --target kind c.onnx
	[ "$loss" = "$(grep -o '"loss": [0-9.]\{6\}' <<<"$output")" ]
	run -0 onnx-train --bench 2 --batch 6 some.t
	[[ $output == *"made-up ones"*"samples/s"* ]]
}

@test "behind what is frozen, and sample by sample where the batch is 1" {
	onnx-freeze --last 1 some.onnx -o last.onnx
	on last.onnx --epochs 3 -o a.onnx 2>said.txt
	grep -q 'computed once per sample' said.txt
	on last.onnx --epochs 3 --no-cache -o b.onnx
	cmp a.onnx b.onnx
	net one.onnx "$(node Greater above 'f limit' g)$(node NonZero where g z)$(node Transpose turned z zt)$(
		node GatherND these 'f zt' e)$(flat e)" one
	onnx-freeze --last 1 one.onnx -o last1.onnx
	on last1.onnx --epochs 3 -o c.onnx 2>said.txt
	grep -q 'samples are computed one at a time' said.txt
	on last.onnx --epochs 3 --batch 1 --accumulate 6 -o d.onnx
	onnx-diff --rtol 1e-5 --no-meta --no-info c.onnx d.onnx >diff.txt || true
	grep -q "of the weights" diff.txt
	refute grep -qE "weight '[WV]'" diff.txt
}

# picture FILE SIZES...: y = the sum of a picture's pixels, by V; its bytes are computed from x
picture() {
	local v=0000003f000000bf
	bytes "$(pb_int 1 9)$(pb_msg 7 "$(node Cast bytes x c "$(attr to 2)")$(node Reshape flat 'c all' b)$(
		node ImageDecoder look b p)$(node Cast real p f "$(attr to 1)")$(flat f)$(node Mul as 's one' u)$(
		node MatMul last 'u V' y)$(pb_str 2 g)$(pb_msg 5 "$(pb_tensor V "$(pb_msg 9 $v)" 1 2)")$(
		pb_msg 5 "$(pb_tensor one "$(pb_msg 9 0000803a)" 1 1)")$(
		pb_msg 5 "$(pb_int 1 1)$(pb_int 2 7)$(pb_str 8 all)$(pb_msg 9 ffffffffffffffff)")$(
		pb_msg 11 "$(pb_value x "${@:2}")")$(pb_msg 12 "$(pb_value y 1 2)")")$(pb_msg 8 "$(pb_int 2 20)")" >"$1"
}

@test "a picture's bytes are one sample: the pre-flight wants a row for each, and a batch of 1 has it" {
	picture any.onnx 14
	run -1 onnx-info --check any.onnx
	[[ $output == *"y: it has 1 row for 2 samples of made-up numbers; training wants one for each"* ]]
	picture one.onnx 1 14
	onnx-freeze --train V one.onnx -o one.t
	run -0 onnx-info --check one.t
	[[ $output == *"ready: 2 weights"* ]]
	npy x.npy '|u1' '(2, 14)' 503620312031203235350a0a141e503620312031203235350a5a141e
	npy y.npy '<i8' '(2,)' 00000000000000000100000000000000
	onnx-train --data x.npy,y.npy --epochs 2 -o trained.onnx one.t
	onnx-diff --no-meta --no-info one.t trained.onnx >diff.txt || true
	grep -q "weight 'V'" diff.txt
	run -0 onnx-train --bench 2 one.t
	[[ $output == *"steps of 1 samples"* ]]
}

@test "what no numbers settle is not left to the batch" {
	local odd
	odd=$(pb_msg 5 "$(pb_int 1 2)$(pb_int 2 77)$(pb_str 8 odd)")
	net odd.onnx "$(node NonZero where f z)$(node Cast real z zf "$(attr to 1)")$(flat zf)"
	run -0 onnx-info odd.onnx
	[[ $output == *"planned for its own shapes"* ]]
	net odd.onnx "$(node NonZero where f z)$(node Cast real z zf "$(attr to 1)")$(node Add more 'f odd' fo)$(flat fo)$odd"
	run -0 onnx-info odd.onnx
	[[ $output == *"cannot run "*"'odd' has elements of a type that is not known"* ]]
	[[ $output != *"for its own"* && $output != *"node by node"* ]]
	run -0 onnx-info --json odd.onnx
	[[ $output == *'"runs": false'* ]]
	run -1 onnx-info --check odd.onnx
	[[ $output == *"'odd' has elements"* && $output != *"onnx-run goes"* && $output != *"for its own"* ]]
}

@test "text is not fed, and that is what is said" {
	local x y
	x=$(pb_str 1 x)$(pb_msg 2 "$(pb_msg 1 "$(pb_int 1 8)$(pb_msg 2 "$(pb_msg 1 "$(pb_str 2 N)")$(pb_msg 1 "$(pb_int 1 2)")")")")
	y=$(pb_value y 1 2)
	pb_file text.onnx "$(node Cast read x f "$(attr to 1)")$(node MatMul last 'f V' y)$(pb_str 2 g)$(
		pb_msg 5 "$(pb_tensor V "$(pb_msg 9 cdcccc3dcdcc4cbecdcccc3e9a99993e)" 2 2)")$(pb_msg 11 "$x")$(pb_msg 12 "$y")"
	onnx-freeze --none text.onnx -o text.t
	run -1 onnx-info --check text.t
	[[ $output == *"x: it is an input of string, which no data source feeds"* ]]
	npy x.npy '<U1' '(2, 2)' 31000000320000003300000034000000
	npy y.npy '<i8' '(2,)' 00000000000000000100000000000000
	fault 4 "text for input 'x' of string, and no data source feeds text" onnx-train -q --data x.npy,y.npy -o t.onnx text.t
}
