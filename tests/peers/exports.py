"""What onnx-export writes, in ONNX Runtime and here: checker, sizes, outputs.  (That it computes what went in, as
far as narrow numbers can, onnx-export has verified itself.)

usage: exports.py BIN_DIR WORK_DIR SHARED_DIR         prints ok / not ok / skip lines
"""
import os
import sys

import numpy as np
import onnx

import peers

HERE = os.path.dirname(os.path.abspath(__file__))
MODES = {       # options: of the largest output, at most so much off; of the file's size, at most so much left
    "--fold": (1e-4, 1.01),
    "--fold --batch 2": (1e-4, 1.01),
    "--fp16": (0.05, 0.6),
    "--fold --fp16 --batch sym": (0.05, 0.6),
    "--int8": (1e-4, 0.5),
    "--fold --int8": (1e-4, 0.5),
}
MODELS = ["mobilenet_v1_0.25_224.onnx", "ultraface_RFB_320.onnx", "ppocr-cls-paddle2onnx.onnx"]


def check(path, bin_dir, work):
    name, good = os.path.basename(path), True
    model = onnx.load(path)
    shape = [d or (1 if i == 0 else 96) for i, d in enumerate(peers.dims(peers.inputs(model)[0]))]
    x = np.random.default_rng(1).uniform(-1, 1, [2] + shape[1:]).astype(np.float32)
    for mode, (tolerance, size) in MODES.items():
        out = os.path.join(work, "exported.onnx")
        try:
            peers.run([os.path.join(bin_dir, "onnx-export"), "-q", *mode.split(), "-o", out, path])
            onnx.checker.check_model(onnx.load(out), full_check=True)
            at_once = peers.dims(peers.inputs(onnx.load(out))[0])[0] or 1
            got = peers.in_ort(work, out, x, at_once)
            want = [peers.ours(bin_dir, work, out, x[i:i + at_once]) for i in range(0, 2, at_once)]
            gap = max(float(np.abs(g - np.concatenate([w[k] for w in want])).max()) /
                      max(float(np.abs(w[k]).max()) for w in want) for k, g in enumerate(got))
            left = os.path.getsize(out) / os.path.getsize(path)
            good &= peers.say(gap <= tolerance and left <= size, "%s %s: ONNX Runtime off by %.2g of the largest (at "
                              "most %g), %.0f %% of the size" % (name, mode, gap, tolerance, 100 * left))
        except Exception as fault:      # the checker and the programs raise several kinds
            good = peers.say(False, "%s %s: %s" % (name, mode, str(fault).replace("\n", " ")[:200]))
    return good


def main():
    bin_dir, work, shared = sys.argv[1:4]
    os.makedirs(work, exist_ok=True)
    good = check(os.path.join(HERE, "..", "..", "samples", "fashion5.onnx"), bin_dir, work)
    for name in MODELS:
        path = os.path.join(shared, "models", name)
        if os.path.exists(path):
            good &= check(path, bin_dir, work)
        else:
            peers.skip("exports of " + name + ": no such file")
    return 0 if good else 1


sys.exit(main())
