#!/usr/bin/env bats
# onnx-report: event logs to a page.
load common

log() {
	printf '{"event":"start","epochs":2,"batch":32,"lr":0.001,"weights":5130}\n'
	printf '{"event":"step","step":1,"epoch":1,"loss":2.3,"lr":0.001}\n'
	printf '{"event":"step","step":2,"epoch":1,"loss":null,"lr":0.0005}\n'
	printf '{"event":"epoch","epoch":1,"loss":2.0,"accuracy":0.5,"val_loss":1.9,"val_accuracy":0.625,"best":true}\n'
	printf '{"event":"epoch","epoch":2,"loss":1.5,"accuracy":0.6,"val_loss":2.1,"val_accuracy":0.5}\n'
	printf '{"event":"later","what":"unknown"}\n'
	printf '{"event":"end","epochs":2,"best_epoch":1,"seconds":3.5}\n'
}

@test "one page with plots and tables, nothing from elsewhere" {
	log | onnx-report >page.html
	grep -q '62.50&nbsp;%' page.html
	[ "$(grep -c '<svg' page.html)" = 4 ]
	[ "$(grep -c 'class="best"' page.html)" = 1 ]
	grep -q 'ran to its end' page.html
	refute grep -qE 'https?://|<script|src=|@import' page.html
	refute grep -qi 'nan' page.html
	# each tag that opens closes, in order
	grep -oE '</?[a-z][a-z0-9]*' page.html | grep -vE '^</?(meta|path|circle|rect)$' |
		awk '/^<\// { if (open[n--] != substr($0, 3)) exit bad = 1; next }
		     { open[++n] = substr($0, 2) } END { exit bad || n }'
}

@test "several runs over each other" {
	log >a.jsonl
	log >'b<i>.jsonl'
	onnx-report a.jsonl 'b<i>.jsonl' -o page.html
	grep -q 'b&lt;i&gt;.jsonl' page.html
	refute grep -q 'b<i>' page.html
}

@test "the same page every time" {
	log >a.jsonl
	[ "$(onnx-report a.jsonl)" = "$(onnx-report a.jsonl)" ]
}

@test "a log that was cut off is read as far as it goes" {
	log | head -c -20 >a.jsonl
	run -0 --separate-stderr onnx-report a.jsonl
	[[ "$stderr" == *"warning: 'a.jsonl' ends in the middle of a line"* ]]
	[[ "$output" == *"cut off"* ]]
}

@test "what is no log" {
	printf 'hello\n{}\n' >a.jsonl
	fault 3 "^onnx-report: a.jsonl:1: " onnx-report a.jsonl
	printf '{"event":"step","loss":1}\n' >b.jsonl
	fault 3 "^onnx-report: b.jsonl:1: .*step" onnx-report b.jsonl
	: >c.jsonl
	fault 3 "no events" onnx-report c.jsonl
	fault 6 "No such file" onnx-report nothing.jsonl
}
