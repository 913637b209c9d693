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

# y = f(x W) V, f Tanh where the numbers sum up below 0, else Relu; and again with another W
setup() {
	cd "$BATS_TEST_TMPDIR" || return 1
	local flat i w='' v=''
	flat=$(pb_msg 5 "$(pb_str 1 keepdims)$(pb_int 3 0)$(pb_int 20 2)")
	for i in cdcccc3d cdcc4cbe cdcccc3e 9a99993e cdccccbd 0000003f 000000bf 9a9919bf; do w+=$i; done
	for i in cdcccc3d cdcc4cbe cdcccc3e 9a99993e; do v+=$i; done
	pb_file m.onnx "$(
		pb_msg 1 "$(pb_node MatMul first 'x W' h)")$(
		pb_msg 1 "$(pb_node ReduceSum sum h s "$flat")")$(
		pb_msg 1 "$(pb_node Less less 's zero' is)")$(
		pb_msg 1 "$(pb_node If choice is c "$(branch then_branch Tanh h)$(branch else_branch Relu h)")")$(
		pb_msg 1 "$(pb_node MatMul second 'c V' y)")$(pb_str 2 g)$(
		pb_msg 5 "$(pb_tensor W "$(pb_msg 9 "$w")" 4 2)")$(
		pb_msg 5 "$(pb_tensor V "$(pb_msg 9 "$v")" 2 2)")$(
		pb_msg 5 "$(pb_tensor zero "$(pb_msg 9 00000000)")")$(
		pb_msg 11 "$(pb_str 1 x)$(rows 4)")$(pb_msg 12 "$(pb_str 1 y)$(rows 2)")"
	awk 'BEGIN { srand(3); print "a,b,c,d,kind"
		for (i = 0; i < 60; i++) { k = i % 2; s = i % 12 < 6 ? 1 : -1
			printf "%.3f,%.3f,%.3f,%.3f,%s\n", rand() + k, rand() - k, s * rand(), s * rand(), k ? "p" : "q" } }' \
		>d.csv
	onnx-freeze --none m.onnx -o t.onnx
}

train() { onnx-train --data d.csv --target kind --batch 6 --no-shuffle --seed 4 --lr 0.1 "$@" t.onnx; }

@test "what control flow depends on is said" {
	run -0 onnx-info --check m.onnx
	[[ $output == *"control flow depends on the numbers: If 'choice'; each batch is planned"*"ready: 12 weights"* ]]
	run -0 onnx-info --check --json m.onnx
	[[ $output == *'"decides"'*choice* ]]
}

@test "batches that decide differently train; the same bits with any number of threads" {
	train --epochs 4 --threads 1 --events e1.jsonl -o a.onnx 2>said.txt
	grep -q 'control flow: 1 node decides by the numbers of each batch' said.txt
	grep -q 'frozen part: not kept (control flow depends on the numbers)' said.txt
	train --epochs 4 --threads 3 -o b.onnx
	cmp a.onnx b.onnx
	[ "$(grep -c '"event": *"step"' e1.jsonl)" = 40 ]
}

@test "killed and resumed: the same bytes as straight through" {
	train -q --epochs 300 -o straight
	train -q --epochs 300 --events log --checkpoint ck -o cut &
	local pid=$!
	for _ in $(seq 600); do
		[ "$(cat log 2>/dev/null | wc -l)" -lt 200 ] || break
		sleep 0.01
	done
	kill -9 $pid
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
