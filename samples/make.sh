#!/bin/bash
# Makes what samples/ ships, from Debian's package dataset-fashion-mnist: the base model, trained on classes 0-4, and
# the pictures of classes 5-9.  The same bits each time.      usage: samples/make.sh BUILD OUT
set -eu
here=$(cd "$(dirname "$0")" && pwd)
bin=$(cd "$1" && pwd)/bin
out=$2
data=/usr/share/datasets/fashion-mnist
[ -d $data ] || { echo "missing: $data (Debian: dataset-fashion-mnist)" >&2; exit 6; }
mkdir -p "$out"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

python3 "$here/pictures.py" $data "$out" "$work"
"$bin/onnx-head" --input 'x:float:Nx1x28x28' --layers "$(cat "$here/layers.txt")" --labels "$work/labels.txt" --no-history |
	"$bin/onnx-train" --data "$work/images.idx,$work/labels.idx" --val "$work/val-images.idx,$work/val-labels.idx" \
		--preprocess unit --epochs 8 --batch 64 --schedule onecycle --lr 0.004 --seed 1 --no-history |
	"$bin/onnx-export" --no-history -o "$out/fashion5.onnx"
