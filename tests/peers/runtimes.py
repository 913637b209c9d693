"""Adapted files in other runtimes: onnx.checker, ONNX Runtime (through ort.js), OpenCV's DNN module.

usage: runtimes.py BIN_DIR WORK_DIR SHARED_DIR         prints ok / not ok / skip lines
"""
import glob
import os
import subprocess
import sys

import cv2
import numpy as np
import onnx

HERE = os.path.dirname(os.path.abspath(__file__))
TOLERANCE = 1e-4
PICTURES = 50
CASES = {       # model, preprocessing
    "mobilenet_v1_0.25_224.onnx": "tf",
    "squeezenet1.1-7-fp16.onnx": "caffe",
}


def say(good, text):
    print(("ok - " if good else "not ok - ") + text, flush=True)
    return good


def pictures(shared, preset):
    paths = sorted(glob.glob(os.path.join(shared, "data", "sign_language_digits", "Dataset", "*", "*.JPG")))
    paths = paths[:: max(1, len(paths) // PICTURES)][:PICTURES]
    out = []
    for p in paths:
        x = cv2.resize(cv2.imread(p), (224, 224), interpolation=cv2.INTER_AREA).astype(np.float32)
        x = x[:, :, ::-1] / 127.5 - 1 if preset == "tf" else x - np.float32([104, 117, 123])
        out.append(x.transpose(2, 0, 1))
    return np.ascontiguousarray(np.stack(out))


def adapt(bin_dir, shared, model, preset, out):
    pipe = ("'{b}/onnx-freeze' --all '{m}' | '{b}/onnx-head' --classes 10 | '{b}/onnx-train' -q --epochs 2 "
            "--preprocess {p} --data '{d}' | '{b}/onnx-export' -o '{o}'")
    subprocess.run(["bash", "-o", "pipefail", "-c", pipe.format(
        b=bin_dir, m=os.path.join(shared, "models", model), p=preset, o=out,
        d=os.path.join(shared, "data", "sign_language_digits", "Dataset"))], check=True)


def ours(bin_dir, work, model, x):
    name = onnx.load(model).graph.input[0].name
    np.save(os.path.join(work, "x.npy"), x)
    target = os.path.join(work, "ours")
    subprocess.run([os.path.join(bin_dir, "onnx-run"), model, name + "=" + os.path.join(work, "x.npy"),
                    "--output", target], check=True, stdout=subprocess.DEVNULL)
    return np.load(glob.glob(os.path.join(target, "*.npy"))[0])


def in_ort(work, model, x):
    np.save(os.path.join(work, "x.npy"), x)
    subprocess.run(["node", os.path.join(HERE, "ort.js"), model, os.path.join(work, "x.npy"),
                    os.path.join(work, "ort.npy")], check=True)
    return np.load(os.path.join(work, "ort.npy"))


def in_opencv(model, x):
    net = cv2.dnn.readNetFromONNX(model)
    rows = []
    for i in range(len(x)):
        net.setInput(x[i:i + 1])
        rows.append(net.forward())
    return np.concatenate(rows)


def check(case, preset, bin_dir, work, shared):
    out = os.path.join(work, "adapted.onnx")
    adapt(bin_dir, shared, case, preset, out)
    good = True
    try:
        onnx.checker.check_model(onnx.load(out), full_check=True)
        good &= say(True, case + ": onnx.checker accepts the exported file")
    except Exception as fault:          # the checker raises several kinds
        good &= say(False, case + ": onnx.checker: " + str(fault).replace("\n", " ")[:200])
    half = onnx.load(out).graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.FLOAT16
    if half:
        subprocess.run([os.path.join(bin_dir, "onnx-export"), "--float", "-o", out + ".f32", out], check=True)
        out += ".f32"
    x = pictures(shared, preset)
    mine = ours(bin_dir, work, out, x).reshape(len(x), -1)
    for name, run in (("ONNX Runtime", lambda: in_ort(work, out, x)), ("OpenCV", lambda: in_opencv(out, x))):
        try:
            theirs = run().reshape(len(x), -1)
        except cv2.error as fault:
            print("skip - %s: %s does not know its operators (%s)" % (case, name, str(fault)[:80]))
            continue
        gap = float(np.abs(mine - theirs).max())
        good &= say(gap <= TOLERANCE, "%s: %s agrees on %d pictures to %.2g" % (case, name, len(x), gap))
    return good


def main():
    bin_dir, work, shared = sys.argv[1:4]
    os.makedirs(work, exist_ok=True)
    if not os.path.isdir(os.path.join(shared, "models")):
        print("skip - runtimes: no ../shared/models here")
        return
    good = True
    for case, preset in CASES.items():
        good &= check(case, preset, bin_dir, work, shared)
    sys.exit(0 if good else 1)


main()
