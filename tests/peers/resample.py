"""Our resize against Pillow's BILINEAR: at most one grey level apart, also through JPEG decoding: in full, and
at the reduced size that Pillow's draft() chooses when asked for twice the size wanted.

usage: resample.py BIN_DIR WORK_DIR SHARED_DIR          prints ok / not ok / skip lines

TIFF in the forms that Pillow writes: the same pixels.

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


def ours(bin_dir, work, model, picture, fast):
    out = os.path.join(work, "out")
    subprocess.run([os.path.join(bin_dir, "onnx-run"), model, "x=" + picture, "--preprocess", "raw", "--resize",
                    "squash", "--fast-decode" if fast else "--no-fast-decode", "--output", out],
                   check=True, stdout=subprocess.DEVNULL)
    return np.load(os.path.join(out, "y.npy"))[0].transpose(1, 2, 0)


def pillow(path, width, height, fast):
    picture = Image.open(path)
    if fast:
        turned = picture.getexif().get(0x0112, 1) >= 5
        picture.draft("RGB", (2 * height, 2 * width) if turned else (2 * width, 2 * height))
    picture = ImageOps.exif_transpose(picture).convert("RGB").resize((width, height), Image.BILINEAR)
    return np.asarray(picture, np.float32)


def tiff(bin_dir, work):
    """Every mode in every packing, in one strip and in several, with and without a predictor."""
    height, width = 23, 37
    model, path = os.path.join(work, "tiff.onnx"), os.path.join(work, "it.tif")
    identity(model, height, width)
    rng = np.random.RandomState(5)
    steps = np.add.outer(3 * np.arange(height), 2 * np.arange(width))[..., None] * [1, 2, 3]
    colours = (steps + rng.randint(0, 9, (height, width, 3))).astype(np.uint8)
    pictures = {"RGB": Image.fromarray(colours), "L": Image.fromarray(colours[..., 0])}
    pictures["P"] = pictures["RGB"].quantize(200)
    pictures["1"] = pictures["L"].convert("1")
    pictures["RGBA"] = Image.fromarray(np.concatenate([colours, colours[..., :1]], -1))
    good, count = True, 0
    for name, picture in pictures.items():
        for packing in (None, "tiff_lzw", "tiff_adobe_deflate", "tiff_deflate", "packbits"):
            for tags in ({}, {278: 5}, {317: 2}):
                if 317 in tags and (name == "1" or packing not in ("tiff_lzw", "tiff_adobe_deflate")):
                    continue
                picture.save(path, compression=packing, tiffinfo=tags)
                same = np.array_equal(ours(bin_dir, work, model, path, False), pillow(path, width, height, False))
                good &= same
                count += 1
                if not same:
                    print("not ok - TIFF: %s, %s, %s: other pixels than Pillow's" % (name, packing, tags))
    if good:
        print("ok - TIFF: %d forms have Pillow's pixels" % count, flush=True)
    return good


def main():
    bin_dir, work, shared = sys.argv[1:4]
    os.makedirs(work, exist_ok=True)
    good = tiff(bin_dir, work)
    paths = sorted(glob.glob(os.path.join(shared, "data", "animals", "*", "*0[1-5].jpeg")))
    paths += sorted(glob.glob(os.path.join(shared, "data", "sign_language_digits", "Dataset", "0", "*")))[:5]
    large = glob.glob(os.path.join(shared, "data", "sign_language_digits", "Dataset", "7", "IMG_5*.JPG"))
    paths += sorted(large, key=os.path.getsize)[-1:]
    if not paths:
        print("skip - resample: no ../shared/data here")
        sys.exit(0 if good else 1)
    for height, width, fast in ((224, 224, False), (96, 160, False), (500, 30, False), (56, 56, True), (100, 40, True)):
        model = os.path.join(work, "identity.onnx")
        identity(model, height, width)
        worst = 0
        for p in paths:
            got = ours(bin_dir, work, model, p, fast)
            worst = max(worst, float(np.abs(got - pillow(p, width, height, fast)).max()))
        good &= worst <= 1
        print("%s - resize to %dx%d%s: %d pictures within %g grey levels of Pillow"
              % ("ok" if worst <= 1 else "not ok", height, width, ", fast decoding" if fast else "", len(paths),
                 worst), flush=True)
    sys.exit(0 if good else 1)


main()
