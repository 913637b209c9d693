#!/usr/bin/env bats
# onnx-info and onnx-diff on good and on bad files.
load common
load pb

@test "a model in words" {
	model iris-pytorch.onnx
	run -0 onnx-info "$m"
	[[ "$output" == *"input  float [batch_size,4]"* ]]
	[[ "$output" == *"5: 3 Gemm, 2 Relu"* ]]
	[[ "$output" == *"795 in 6 tensors"* ]]
	[[ "$output" == *"nobody has said"* ]]
	[ "$(onnx-info <"$m" | tail -n +2)" = "$(onnx-info "$m" | tail -n +2)" ]
}

@test "a model as JSON" {
	model mobilenet_v1_0.25_224.onnx
	onnx-info --json --weights "$m" >m.json
	grep -q '"parameters": 470072,' m.json
	grep -q '"statistics": 5472,' m.json
	grep -q '"runs": true,' m.json
	grep -qE '"multiply_adds": 4[0-9]{7}\.0,' m.json
	[ "$(grep -A 1 '"opsets"' m.json | tr -d ' \n')" = '"opsets":{"ai.onnx":13' ]
	[ "$(grep -A 4 '"inputs"' m.json | tr -d '[ \n]')" = '"inputs":{"name":"input","type":"float","shape":"N",3,224,224' ]
	grep -A 1 '"type": "BatchNormalization"' m.json | grep -q '"count": 27,'
	# elements stand in front of whether they are a running statistic
	[ "$(awk '/"elements"/ { n = $2 + 0 } /"statistic": false/ { sum += n } END { print sum }' m.json)" = 470072 ]
}

@test "every download can be looked at" {
	model iris-pytorch.onnx
	for m in "$ONX_SHARED"/models/*.onnx; do
		onnx-info "$m" >text
		grep -q '^nodes' text
		refute grep -q '^cannot run' text
		onnx-info --dot "$m" >dot
		[ "$(tail -1 dot)" = "}" ]
		onnx-info --plan "$m" | grep -q 'multiply-adds forward'
	done
}

@test "weights of a model: Constant nodes count" {
	model ppocr-cls-paddle2onnx.onnx
	run -0 onnx-info --weights "$m"
	[[ "$output" == *"(Constant node)"* ]]
}

@test "--ops lists operators from their rows" {
	onnx-info --ops >ops
	grep -qE '^Conv +[0-9]+  trains' ops
	grep -qE '^Shape +[0-9]+  runs' ops
	[ "$(onnx-info --ops --json | grep -c '"since":')" = "$(tail -n +2 ops | wc -l)" ]
	[ "$(tail -n +2 ops | awk '{print $1, $2}' | sort | uniq -d)" = "" ]
}

@test "the page of operators is what the program prints: make page" {
	onnx-info --ops --page >page
	diff -u "$ONX_TOP/docs/operators.md" page
	onnx-info --ops >ops
	[ "$(grep -cE '^\| (ai\.onnx|com\.microsoft)[a-z.]* \| [A-Za-z0-9]+ \| [0-9]+-' page)" = "$(tail -n +2 ops | wc -l)" ]
	grep -qE '^\| ai.onnx \| Conv \| 1- \| float.* \| runs \| `x` \|$' page
	grep -qE '^\| ai.onnx \| Sign .*int.* \| `0` \|$' page
	grep -qE '^\| ai.onnx \| And \| 7- \| bool \|' page
	run -2 onnx-info --page
	[[ "$output" == *"--ops"* ]]
}

@test "--check says what stands in the way, and whether anything does" {
	model iris-pytorch.onnx
	run -0 onnx-info --check "$m"
	[[ "$output" == "ready: 795 weights in 6 tensors can train" ]]
	run -0 onnx-info --check --json "$m"
	[[ "$output" == *'"ready": true'* ]]
}

@test "options that exclude each other" {
	fault 2 "exclude each other" onnx-info --dot --check x.onnx
	fault 2 "'batch' must be a whole number in \[1, 65536\], not 'abc'" onnx-info --batch abc x.onnx
	fault 2 "'batch' must be .* not '0'" onnx-info --batch=0 x.onnx
}

@test "what is no model" {
	echo "a text" >x.onnx
	: >empty.onnx
	head -c 4096 /dev/urandom >random.onnx
	for f in x empty random; do
		fault 3 . onnx-info $f.onnx
	done
	fault 6 "No such file" onnx-info nothing.onnx
	fault 6 "folder" onnx-info .
	fault 3 . onnx-info </dev/null
}

@test "a truncated model, at many places" {
	model iris-pytorch.onnx
	size=$(stat -c %s "$m")
	for part in 1 10 20 40 60 80 90 99; do
		head -c $((size * part / 100)) "$m" >cut.onnx
		fault 3 . onnx-info cut.onnx
	done
}

@test "a model that is equal to itself" {
	model iris-pytorch.onnx
	run -0 onnx-diff "$m" "$m"
	[[ "$output" == "the same: "* ]]
	run -0 onnx-diff "$m" - <"$m"
	run -0 onnx-diff --json "$m" "$m"
	[[ "$output" == *'"same": true'* ]]
}

@test "models that are not: status 1, the differences on standard output" {
	model iris-pytorch.onnx
	model cifar10-pytorch.onnx
	run -1 --separate-stderr onnx-diff "$ONX_SHARED/models/iris-pytorch.onnx" "$ONX_SHARED/models/cifar10-pytorch.onnx"
	[ -z "$stderr" ]
	[[ "$output" == *"input 'input' removed"* ]]
	[[ "${lines[-1]}" == "different: "* ]]
	model iris-pytorch.onnx
	model cifar10-pytorch.onnx
	run -1 onnx-diff --limit 2 "$ONX_SHARED/models/iris-pytorch.onnx" "$ONX_SHARED/models/cifar10-pytorch.onnx"
	[ "${#lines[@]}" = 4 ]
}

@test "onnx-diff wants two models" {
	model iris-pytorch.onnx
	fault 2 "two models" onnx-diff "$m"
	fault 2 "only one" onnx-diff - - <"$m"
	fault 6 "No such file" onnx-diff "$m" nothing.onnx
	echo x >x
	fault 3 "'x'" onnx-diff "$m" x
}

@test "--check names the way through a step, and onnx-train takes it" {
	w=$(pb_tensor w "$(pb_msg 9 0000803f000000400000404000008040)" 4)
	pb_file m "$(pb_graph "$(pb_msg 1 "$(pb_node Mul a 'x w' h)")$(pb_msg 1 "$(pb_node Round b h y)")$(pb_msg 5 "$w")")"
	onnx-freeze --none -o f m
	run -1 onnx-info --check f
	[[ "$output" == *"Round 'b'"*"--straight-through"* ]]
	fault 2 'no trainable weight has a gradient path' onnx-train -q --bench 1 --batch 1 --loss mse f
	onnx-train --bench 1 --batch 1 --loss mse --straight-through f >out 2>err
	grep -q 'straight through: 1 node' err
	grep -q 'samples/s' out
}

# bytes_of NAME HEX N: an int8 initializer
bytes_of() { pb_msg 5 "$(pb_int 1 "$3")$(pb_int 2 3)$(pb_str 8 "$1")$(pb_msg 9 "$2")"; }

@test "a weight that is quantised while training: listed, and trained straight through" {
	w=$(pb_msg 5 "$(pb_tensor w "$(pb_msg 9 0000803f000000400000404000008040)" 4)")
	s=$(pb_msg 5 "$(pb_tensor s "$(pb_msg 9 0000003f)")")
	pb_file m "$(pb_graph "$(pb_msg 1 "$(pb_node QuantizeLinear q 'w s' v)")$(
		pb_msg 1 "$(pb_node DequantizeLinear d 'v s' u)")$(pb_msg 1 "$(pb_node Add a 'x u' y)")$w$s")"
	run -0 onnx-info --weights m
	[[ "$output" == *"weight     w  float [4]"* ]]
	[[ "$output" != *"  s  float"* ]]
	onnx-freeze --none -o f m
	run -1 onnx-info --check f
	[[ "$output" == *"QuantizeLinear 'q'"*"--straight-through"* ]]
	fault 2 "without --straight-through: QuantizeLinear 'q'" onnx-train -q --bench 1 --batch 1 --loss mse f
	onnx-train -q --bench 1 --batch 1 --loss mse --straight-through f >out
	grep -q 'samples/s' out
}

@test "weights that are whole numbers: named, and float on request" {
	w=$(bytes_of w_quantized 01020304 4)
	s=$(pb_msg 5 "$(pb_tensor s "$(pb_msg 9 0000003f)")")
	pb_file m "$(pb_graph "$(pb_msg 1 "$(pb_node DequantizeLinear d 'w_quantized s' w_DequantizeLinear_Output)")$(
		pb_msg 1 "$(pb_node Add a 'x w_DequantizeLinear_Output' y)")$w$s")"
	run -0 onnx-info m
	[[ "$output" == *"0 in 0 tensors, 0 bytes; and 1 quantised tensor"* ]]
	run -1 onnx-info --check m
	[[ "$output" == *"DequantizeLinear 'd': its weight is of int8"*"onnx-freeze --dequantize"* ]]
	onnx-freeze --none -o f m 2>err
	grep -q '1 more weight is quantised' err
	onnx-freeze -q --dequantize --none -o f m
	run -0 onnx-info --weights --check f
	[[ "$output" == "ready: 4 weights in 1 tensors can train" ]]
	run -0 onnx-info --weights f
	[[ "$output" == *"trains     w  float [4]"* ]]
	[[ "$output" == *"nodes          1: 1 Add"* ]]
	bytes "$(pb_tensor x "$(pb_msg 9 00000000000000000000000000000000)" 1 4)" >x.pb
	onnx-run m x=x.pb >was
	onnx-run f x=x.pb >now
	grep -q '0.5 1 1.5 2' now
	diff was now
	onnx-freeze --dequantize --all -o g f 2>err
	grep -q 'warning: 0 quantised weights' err
}
