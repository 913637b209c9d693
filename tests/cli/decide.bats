#!/usr/bin/env bats
# Control flow that depends on the numbers: looked at, trained and scored batch by batch.
load common
load pb

# branch NAME TYPE IN: an attribute that is a graph of one node
branch() {
	pb_msg 5 "$(pb_str 1 "$1")$(pb_msg 6 "$(pb_msg 1 "$(pb_node "$2" '' "$3" r)")$(pb_str 2 "$1")$(
		pb_msg 12 "$(pb_str 1 r)")")$(pb_int 20 5)"
}
rows() { pb_msg 2 "$(pb_msg 1 "$(pb_int 1 1)$(pb_msg 2 "$(pb_msg 1 "$(pb_str 2 N)")$(pb_msg 1 "$(pb_int 1 "$1")")")")"; }

# y = f(x W) V, f Tanh where the numbers sum up below 0, else Relu.  net FILE IN OUT: its input and output
net() {
	local flat i w='' v=''
	flat=$(pb_msg 5 "$(pb_str 1 keepdims)$(pb_int 3 0)$(pb_int 20 2)")
	for i in cdcccc3d cdcc4cbe cdcccc3e 9a99993e cdccccbd 0000003f 000000bf 9a9919bf; do w+=$i; done
	for i in cdcccc3d cdcc4cbe cdcccc3e 9a99993e; do v+=$i; done
	pb_file "$1" "$(
		pb_msg 1 "$(pb_node MatMul first 'x W' h)")$(
		pb_msg 1 "$(pb_node ReduceSum sum h s "$flat")")$(
		pb_msg 1 "$(pb_node Less less 's zero' is)")$(
		pb_msg 1 "$(pb_node If choice is c "$(branch then_branch Tanh h)$(branch else_branch Relu h)")")$(
		pb_msg 1 "$(pb_node MatMul second 'c V' y)")$(pb_str 2 g)$(
		pb_msg 5 "$(pb_tensor W "$(pb_msg 9 "$w")" 4 2)")$(
		pb_msg 5 "$(pb_tensor V "$(pb_msg 9 "$v")" 2 2)")$(
		pb_msg 5 "$(pb_tensor zero "$(pb_msg 9 00000000)")")$(pb_msg 11 "$2")$(pb_msg 12 "$3")"
}

setup() {
	cd "$BATS_TEST_TMPDIR" || return 1
	net m.onnx "$(pb_str 1 x)$(rows 4)" "$(pb_str 1 y)$(rows 2)"
	awk 'BEGIN { srand(3); print "a,b,c,d,kind"
		for (i = 0; i < 60; i++) { k = i % 2; s = i % 12 < 6 ? 1 : -1
			printf "%.3f,%.3f,%.3f,%.3f,%s\n", rand() + k, rand() - k, s * rand(), s * rand(), k ? "p" : "q" } }' \
		>d.csv
	onnx-freeze --none m.onnx -o t.onnx
}

on() { onnx-train --data d.csv --target kind --batch 6 --no-shuffle --seed 4 --lr 0.1 "${@:2}" "$1"; }
train() { on t.onnx "$@"; }

@test "what control flow depends on is said" {
	run -0 onnx-info --check m.onnx
	[[ $output == *"control flow depends on the numbers: If 'choice'; each batch is planned"*"ready: 12 weights"* ]]
	run -0 onnx-info --check --json m.onnx
	[[ $output == *'"decides"'*choice* ]]
}

@test "batches that decide differently train; the same bits with any number of threads" {
	train --epochs 4 --threads 1 --events e1.jsonl -o a.onnx 2>said.txt
	grep -q 'control flow: 1 node decides by the numbers of each batch' said.txt
	grep -q 'frozen part: not kept (nothing that costs time is frozen' said.txt
	train --epochs 4 --threads 3 -o b.onnx
	cmp a.onnx b.onnx
	[ "$(grep -c '"event": *"step"' e1.jsonl)" = 40 ]
}

@test "killed and resumed: the same bytes as straight through" {
	train -q --epochs 300 -o straight
	train -q --epochs 300 --events log --checkpoint ck -o cut &
	local pid=$!
	for _ in $(seq 6000); do        # a slow machine, and sanitizers, take their time
		[ "$(cat log 2>/dev/null | wc -l)" -lt 200 ] || break
		kill -0 $pid 2>/dev/null || break
		sleep 0.01
	done
	kill -9 $pid || true
	wait $pid || true
	[ ! -e cut ] || skip "it was done before it could be killed"
	[ -s ck/state.ckpt ]
	train -q --epochs 300 --resume ck -o cut
	cmp straight cut
}

@test "what was trained so is scored" {
	train --epochs 30 -o a.onnx
	run -0 onnx-eval --data d.csv --target kind a.onnx
	[[ $output == *accuracy* ]]
}

@test "a new classifier behind it, and half precision" {
	run -0 onnx-head --classes 3 m.onnx -o h.onnx
	run -0 onnx-info --check h.onnx
	[[ $output == *"If 'choice'"* ]]
	run -0 onnx-export --fp16 m.onnx -o half.onnx
}

@test "what is frozen in front of the decision runs once a sample" {
	onnx-freeze --last 1 m.onnx -o last.onnx
	mkdir kept
	on last.onnx --epochs 3 --threads 1 --cache-dir kept -o a.onnx 2>said.txt
	grep -q 'frozen part: 67 % of the arithmetic, computed once per sample' said.txt
	on last.onnx --epochs 3 --threads 2 --no-cache -o b.onnx 2>said.txt
	grep -q 'computed anew each epoch' said.txt
	cmp a.onnx b.onnx
	on last.onnx --epochs 3 --threads 2 --cache-dir kept -o c.onnx 2>said.txt
	grep -q 'frozen part: taken from the cache folder' said.txt
	cmp a.onnx c.onnx
	refute cmp last.onnx a.onnx
}

@test "a batch of 1 in the file: each sample decides for itself, together with whichever others" {
	net one.onnx "$(pb_value x 1 4)" "$(pb_value y 1 2)"
	onnx-freeze --last 1 one.onnx -o last.onnx
	on last.onnx --epochs 2 --threads 1 -o a.onnx 2>said.txt
	grep -q 'the batch of 1 in the file stays' said.txt
	grep -q 'samples are computed one at a time' said.txt
	grep -q 'computed once per sample' said.txt
	on last.onnx --epochs 2 --threads 2 --no-cache -o b.onnx
	cmp a.onnx b.onnx
	onnx-freeze --last 1 m.onnx | on - --epochs 2 --batch 1 --accumulate 6 -o open.onnx
	onnx-diff --rtol 1e-5 --no-meta --no-info a.onnx open.onnx >diff.txt || true
	cat diff.txt
	refute grep -q "weight 'V'" diff.txt
	run -0 onnx-eval --json --data d.csv --target kind a.onnx
	one=$(grep -o '"loss": [0-9.]*' <<<"$output")
	run -0 onnx-eval --json --batch 1 --data d.csv --target kind open.onnx
	[ "$one" = "$(grep -o '"loss": [0-9.]*' <<<"$output")" ]
}

# doubled FILE: y = x doubled until an element is 10 or more, at most 20 times; the loop has no condition to begin with
doubled() {
	local body port flat
	flat=$(pb_msg 5 "$(pb_str 1 keepdims)$(pb_int 3 0)$(pb_int 20 2)")
	port() { printf %s "$(pb_str 1 "$1")$(pb_msg 2 "$(pb_msg 1 "$(pb_int 1 "$2")")")"; }
	body=$(pb_msg 1 "$(pb_node Add add 'v v' w)")$(pb_msg 1 "$(pb_node ReduceMax top w t "$flat")")$(
		pb_msg 1 "$(pb_node Less less 't ten' on)")$(pb_str 2 body)$(
		pb_msg 11 "$(port i 7)")$(pb_msg 11 "$(port go 9)")$(pb_msg 11 "$(port v 1)")$(
		pb_msg 12 "$(port on 9)")$(pb_msg 12 "$(port w 1)")
	pb_file "$1" "$(pb_msg 1 "$(pb_str 1 most)$(pb_str 1 '')$(pb_str 1 x)$(pb_str 2 y)$(pb_str 3 turns)$(
		pb_str 4 Loop)$(pb_msg 5 "$(pb_str 1 body)$(pb_msg 6 "$body")$(pb_int 20 5)")")$(pb_str 2 g)$(
		pb_msg 5 "$(pb_int 2 7)$(pb_str 8 most)$(pb_int 7 20)")$(
		pb_msg 5 "$(pb_tensor ten "$(pb_msg 9 00002041)")")$(
		pb_msg 11 "$(pb_str 1 x)$(rows 2)")$(pb_msg 12 "$(pb_str 1 y)$(rows 2)")"
}

@test "a loop without a condition to begin with ends when its body says so" {
	doubled d.onnx
	run onnx-info --check d.onnx
	[[ $output == *"control flow depends on the numbers: Loop 'turns'"* ]]
	bytes "$(pb_tensor x "$(pb_msg 9 0000803f00000040)" 1 2)" >x.pb
	run -0 onnx-run d.onnx x=x.pb
	[[ $output == *"8 16"* ]]
}

# wide FILE: h = x (a + b); c = h, or h beside itself where h sums up to 0 or more; y = the shape of c
wide() {
	local axis flat else
	axis=$(pb_msg 5 "$(pb_str 1 axis)$(pb_int 3 1)$(pb_int 20 2)")
	flat=$(pb_msg 5 "$(pb_str 1 keepdims)$(pb_int 3 0)$(pb_int 20 2)")
	else=$(pb_msg 5 "$(pb_str 1 else_branch)$(pb_msg 6 "$(pb_msg 1 "$(pb_node Concat '' 'h h' r "$axis")")$(
		pb_str 2 e)$(pb_msg 12 "$(pb_str 1 r)")")$(pb_int 20 5)")
	pb_file "$1" "$(
		pb_msg 1 "$(pb_node Add both 'a b' k)")$(pb_msg 1 "$(pb_node Mul times 'x k' h)")$(
		pb_msg 1 "$(pb_node ReduceSum sum h s "$flat")")$(pb_msg 1 "$(pb_node Less less 's zero' is)")$(
		pb_msg 1 "$(pb_node If choice is c "$(branch then_branch Identity h)$else")")$(
		pb_msg 1 "$(pb_node Shape shape c y)")$(pb_str 2 g)$(
		pb_msg 5 "$(pb_tensor a "$(pb_msg 9 0000803f)")")$(pb_msg 5 "$(pb_tensor b "$(pb_msg 9 0000803f)")")$(
		pb_msg 5 "$(pb_tensor zero "$(pb_msg 9 00000000)")")$(pb_msg 11 "$(pb_str 1 x)$(rows 2)")$(
		pb_msg 12 "$(pb_str 1 y)$(pb_msg 2 "$(pb_msg 1 "$(pb_int 1 7)")")")"
}

@test "constants are folded around a decision, and nothing that it decides" {
	wide w.onnx
	run -0 --separate-stderr onnx-export --fold w.onnx -o f.onnx
	[[ $stderr == *"1 nodes that never change"*verified* ]]
	bytes "$(pb_tensor x "$(pb_msg 9 0000803f00000040)" 1 2)" >up.pb
	bytes "$(pb_tensor x "$(pb_msg 9 000080bf000000c0)" 1 2)" >down.pb
	for f in w.onnx f.onnx; do
		run -0 onnx-run $f x=up.pb
		[[ $output == *"1 4"* ]]
		run -0 onnx-run $f x=down.pb
		[[ $output == *"1 2"* ]]
	done
	run -0 onnx-diff --data x=down.pb w.onnx f.onnx
	[[ $output == *"outputs agree"* ]]
}

@test "what stands in front of a decision is planned, the rest runs without; both are measured" {
	run -0 --separate-stderr onnx-run --bench 2 --batch 6 m.onnx
	[[ $stderr == *"runs without a plan behind what can be planned: its condition"* ]]
	[[ $output == *"samples/s (median of 2 runs of 6"*"MiB of it planned"* ]]
	run -0 onnx-run --bench 2 --profile m.onnx
	[[ $output == *"MatMul 'first'"* && $output != *"MatMul 'second'"* ]]
	run -0 onnx-run --bench 2 --json m.onnx
	[[ $output == *samples_per_s* ]]
	net one.onnx "$(pb_value x 1 4)" "$(pb_value y 1 2)"
	run -0 --separate-stderr onnx-run --bench 2 --batch 6 one.onnx
	[[ $stderr == *"one at a time"* && $output == *"2 runs of 1 "* ]]
	run -4 onnx-export --batch sym one.onnx -o sym.onnx
	[[ $output == *"the batch of 1 stays"* ]]
	[ ! -e sym.onnx ]
}
