"""Our resize against Pillow's BILINEAR: at most one grey level apart, also through JPEG decoding.

usage: resample.py BIN_DIR WORK_DIR SHARED_DIR          prints ok / not ok / skip lines

onnx-run is given a model that hands its input on, with preprocessing `raw` and fit `squash`: what comes out is
the resized picture.
"""
import glob
import os
import subprocess
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper
from PIL import Image, ImageOps


def identity(path, height, width):
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, height, width])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 3, height, width])
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "identity", [x], [y])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)]), path)


def ours(bin_dir, work, model, picture):
    out = os.path.join(work, "out")
    subprocess.run([os.path.join(bin_dir, "onnx-run"), model, "x=" + picture, "--preprocess", "raw", "--resize",
                    "squash", "--output", out], check=True, stdout=subprocess.DEVNULL)
    return np.load(os.path.join(out, "y.npy"))[0].transpose(1, 2, 0)


def main():
    bin_dir, work, shared = sys.argv[1:4]
    os.makedirs(work, exist_ok=True)
    paths = sorted(glob.glob(os.path.join(shared, "data", "animals", "*", "*0[1-5].jpeg")))
    paths += sorted(glob.glob(os.path.join(shared, "data", "sign_language_digits", "Dataset", "0", "*")))[:5]
    if not paths:
        print("skip - resample: no ../shared/data here")
        return
    good = True
    for height, width in ((224, 224), (96, 160), (500, 30)):
        model = os.path.join(work, "identity.onnx")
        identity(model, height, width)
        worst = 0
        for p in paths:
            want = ImageOps.exif_transpose(Image.open(p)).convert("RGB").resize((width, height), Image.BILINEAR)
            worst = max(worst, float(np.abs(ours(bin_dir, work, model, p) - np.asarray(want, np.float32)).max()))
        good &= worst <= 1
        print("%s - resize to %dx%d: %d pictures within %g grey levels of Pillow"
              % ("ok" if worst <= 1 else "not ok", height, width, len(paths), worst), flush=True)
    sys.exit(0 if good else 1)


main()
