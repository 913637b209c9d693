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
