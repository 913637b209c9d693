#!/bin/bash
# The demonstration: what fine-tuning is for, on what this folder ships.      usage: samples/demo.sh BUILD
#
# fashion5.onnx knows T-shirts, trousers, pullovers, dresses and coats.  From 5 pictures each it is to learn sandals,
# shirts, sneakers, bags and boots; 500 other pictures say how well that went.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
build=$(cd "$1" && pwd)
out=$build/demo
mkdir -p "$out"
PATH=$build/bin:$PATH
cd "$here"

seconds() { date +%s.%N; }
rows=()
row() {         # name, file, since
	local took accuracy
	took=$(echo "$(seconds) $3" | awk '{ printf "%.2f s", $1 - $2 }')
	accuracy=$(onnx-eval --json -q --data test "$2" | sed -n 's/^ *"accuracy": *\([0-9.]*\),*$/\1/p' | head -n 1)
	rows+=("$(awk -v n="$1" -v a="$accuracy" -v t="$took" 'BEGIN { printf "  %-44s %5.1f %%   %8s", n, 100 * a, t }')")
}
show() { printf '\n$ %s\n' "$1"; eval "$1"; }

echo "== The model, as downloaded"
show "onnx-info fashion5.onnx"

echo
echo "== 1. From scratch: the same net, begun with random weights, on the 25 pictures alone"
t=$(seconds)
show "onnx-head -q --input x:float:Nx1x28x28 --layers \"\$(cat layers.txt)\" --labels new-labels.txt |
    onnx-train -q --data train --preprocess unit --epochs 100 -o $out/scratch.onnx"
row "from scratch" "$out/scratch.onnx" "$t"

echo
echo "== 2. A new head on the frozen body: the body runs once per picture"
t=$(seconds)
show "onnx-freeze -q --all fashion5.onnx | onnx-head -q --labels new-labels.txt |
    onnx-train -q --data train --epochs 40 --lr 0.01 -o $out/head.onnx"
row "new head, frozen body" "$out/head.onnx" "$t"

echo
echo "== 3. Fine-tuned: from there on, everything learns, a little"
t=$(seconds)
show "onnx-freeze -q --none $out/head.onnx |
    onnx-train -q --data train --epochs 40 -o $out/tuned.onnx"
row "fine-tuned" "$out/tuned.onnx" "$t"

echo
echo "== On the same 500 pictures that none of them has seen: accuracy, and the time that it took"
printf '%s\n' "${rows[@]}"

echo
echo "== The file to deploy"
show "onnx-export -o $out/adapted.onnx $out/tuned.onnx"
show "onnx-info $out/adapted.onnx"
cat <<END

The adapted model is $out/adapted.onnx.  With a model and pictures of your own (one folder a class), type:

    PATH=$build/bin:\$PATH
    onnx-info --check model.onnx
    onnx-freeze --all model.onnx | onnx-head --classes N | onnx-train --data pictures/ --val 0.2 -o adapted.onnx
END
