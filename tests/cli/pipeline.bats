#!/usr/bin/env bats
# Pipelines: marks travel, frozen weights stay, faults leave no file.
load common

@test "freeze, head, train, eval, run, export: marks come and go" {
	model iris-pytorch.onnx
	data=$ONX_SHARED/data/tabular/iris.csv
	onnx-freeze -q --all "$m" | onnx-head -q --classes 3 | onnx-train -q --data "$data" --epochs 3 -o out.onnx
	run -0 onnx-info --json out.onnx
	[[ "$output" == *'onnx_adapt.history'*'onnx-freeze'*'onnx-head'*'onnx-train'* ]]
	[[ "$output" == *'virginica'* ]]
	onnx-eval --data "$data" --json --html s.html out.onnx | grep -q '"accuracy"'
	grep -q '<svg' s.html
	onnx-export -q out.onnx | onnx-info --json | { refute grep -q onnx_adapt; }
}

@test "frozen weights are identical to the byte" {
	model iris-pytorch.onnx
	onnx-freeze -q --last 1 "$m" | onnx-train -q --data "$ONX_SHARED/data/tabular/iris.csv" --epochs 2 -o out.onnx
	run -1 onnx-diff --no-meta "$m" out.onnx
	[[ "$output" == *"4 identical to the byte"* ]]
	[[ "$output" == *"5 nodes the same"* ]]
}

@test "a network from nothing declares the batch of its input" {
	onnx-head -q --input x:float:Nx1x28x28 --layers 'conv:4:3 relu gap gemm:10' -o net.onnx
	run -0 onnx-info net.onnx
	[[ "$output" == *'float [batch,10]'* ]]
	onnx-head -q --input x:float:2x1x28x28 --layers 'conv:4:3 relu gap gemm:10' | onnx-info |
		grep -F '[2,10]'
}

@test "no history when asked" {
	model iris-pytorch.onnx
	onnx-freeze -q --none --no-history "$m" | onnx-info --json | { refute grep -q history; }
}

@test "faults leave no output file" {
	model iris-pytorch.onnx
	fault 2 "nothing is marked to train" onnx-train --data x.csv -o out.onnx "$m"
	onnx-freeze -q --none "$m" -o f.onnx
	fault 6 "x.csv" onnx-train -q --data x.csv -o out.onnx f.onnx
	mkdir empty
	fault 2 . onnx-train -q --data empty -o out.onnx f.onnx || fault 3 . onnx-train -q --data empty -o out.onnx f.onnx
	awk 'BEGIN { print "a,b,c,d,y"; for (i = 0; i < 9; i++) print "3e38,-3e38,3e38,3e38,k" i % 3 }' >huge.csv
	fault 8 "loss became" onnx-train -q --data huge.csv --preprocess none -o out.onnx f.onnx
	[ ! -e out.onnx ]
	run -6 bash -c "onnx-freeze -q --none '$m' >/dev/full"
}
