"""Adapted files in other runtimes: onnx.checker, ONNX Runtime (through ort.js), OpenCV's DNN module.

usage: runtimes.py BIN_DIR WORK_DIR SHARED_DIR         prints ok / not ok / skip lines
"""
import glob
import json
import os
import subprocess
import sys

import cv2
import numpy as np
import onnx

import peers

TOLERANCE = 1e-4
PICTURES = 50
CASES = {       # model, preprocessing
    "mobilenet_v1_0.25_224.onnx": "tf",
    "squeezenet1.1-7-fp16.onnx": "caffe",
}


def pictures(shared, preset):
    paths = sorted(glob.glob(os.path.join(shared, "data", "sign_language_digits", "Dataset", "*", "*.JPG")))
    paths = paths[:: max(1, len(paths) // PICTURES)][:PICTURES]
    out = []
    for p in paths:
        x = cv2.resize(cv2.imread(p), (224, 224), interpolation=cv2.INTER_AREA).astype(np.float32)
        x = x[:, :, ::-1] / 127.5 - 1 if preset == "tf" else x - np.float32([104, 117, 123])
        out.append(x.transpose(2, 0, 1))
    return np.ascontiguousarray(np.stack(out))


def adapt(bin_dir, shared, model, preset, headed, out):
    """The pipeline; the file behind onnx-head is kept, to be compared with."""
    pipe = ("'{b}/onnx-freeze' -q --all '{m}' | '{b}/onnx-head' -q --classes 10 -o '{h}' && "
            "'{b}/onnx-train' -q --epochs 2 --preprocess {p} --data '{d}' '{h}' | '{b}/onnx-export' -q -o '{o}'")
    peers.run(["bash", "-o", "pipefail", "-c", pipe.format(
        b=bin_dir, m=os.path.join(shared, "models", model), p=preset, h=headed, o=out,
        d=os.path.join(shared, "data", "sign_language_digits", "Dataset"))])


def frozen_kept(case, bin_dir, shared, out):
    """onnx-diff of the original file and of what was adapted: only its last nodes, their tensors and the output's shape
    are others, every other tensor is the same to the byte.  Told by the files' own bytes, too."""
    original = os.path.join(shared, "models", case)
    said = subprocess.run([os.path.join(bin_dir, "onnx-diff"), "--json", "--no-meta", "--no-info", "--limit", "0", original,
                           out], stdout=subprocess.PIPE, check=False)
    told = json.loads(said.stdout)
    old, new = onnx.load(original), onnx.load(out)
    tail = old.graph.node[-4:]
    head = {name for n in tail for name in n.input} | {n.name or n.output[0] for n in tail}
    gone = [d for d in told["differences"] if d["what"] != "added" and d["place"] in ("node", "weight")]
    bytes_of = {t.name: t.SerializeToString() for t in new.graph.initializer}
    same = [t.name for t in old.graph.initializer if t.SerializeToString() == bytes_of.get(t.name)]
    lost = [d["name"] for d in gone if d["place"] == "weight"]
    stray = [d["name"] for d in gone if not head.intersection(d["name"].split())]
    # A classifier is a weight, a bias and perhaps the shape of its output.
    return peers.say(said.returncode == 1 and told["weights_near"] == told["weights_far"] == 0 and not stray
                     and 0 < len(lost) <= 3 and told["weights_same"] == len(same) == len(old.graph.initializer) - len(lost),
                     "%s: onnx-diff: %d of %d tensors identical to the byte, of the head: %s%s"
                     % (case, told["weights_same"], len(old.graph.initializer), ", ".join(lost),
                        "; besides: " + ", ".join(stray) if stray else ""))


def in_opencv(model, x):
    net = cv2.dnn.readNetFromONNX(model)
    rows = []
    for i in range(len(x)):
        net.setInput(x[i:i + 1])
        rows.append(net.forward())
    return np.concatenate(rows)


def check(case, preset, bin_dir, work, shared):
    out = os.path.join(work, "adapted.onnx")
    adapt(bin_dir, shared, case, preset, os.path.join(work, "headed.onnx"), out)
    model = onnx.load(out)
    try:
        onnx.checker.check_model(model, full_check=True)
        good = peers.say(True, case + ": onnx.checker accepts the exported file")
    except Exception as fault:          # the checker raises several kinds
        good = peers.say(False, case + ": onnx.checker: " + str(fault).replace("\n", " ")[:200])
    good &= frozen_kept(case, bin_dir, shared, out)
    # Half precision is computed in single here and in half there: widened, both compute in single.
    if peers.inputs(model)[0].type.tensor_type.elem_type == onnx.TensorProto.FLOAT16:
        out += ".f32"
        onnx.save(peers.retyped(model, onnx.TensorProto.FLOAT16, onnx.TensorProto.FLOAT), out)
    at_once = peers.dims(peers.inputs(model)[0])[0] or PICTURES
    x = pictures(shared, preset)
    mine = np.concatenate([peers.ours(bin_dir, work, out, x[i:i + at_once])[0]
                           for i in range(0, len(x), at_once)]).reshape(len(x), -1)
    for name, run in (("ONNX Runtime", lambda: peers.in_ort(work, out, x, at_once)[0]),
                      ("OpenCV", lambda: in_opencv(out, x))):
        try:
            theirs = run().reshape(len(x), -1)
        except cv2.error as fault:
            peers.skip("%s: %s does not know its operators (%s)" % (case, name, str(fault)[:80]))
            continue
        gap = float(np.abs(mine - theirs).max())
        good &= peers.say(gap <= TOLERANCE, "%s: %s agrees on %d pictures to %.2g" % (case, name, len(x), gap))
    return good


def main():
    bin_dir, work, shared = sys.argv[1:4]
    os.makedirs(work, exist_ok=True)
    if not os.path.isdir(os.path.join(shared, "models")):
        peers.skip("runtimes: no ../shared/models here")
        return
    good = True
    for case, preset in CASES.items():
        try:
            good &= check(case, preset, bin_dir, work, shared)
        except peers.Fault as fault:
            good = peers.say(False, "%s: %s" % (case, fault))
    sys.exit(0 if good else 1)


main()
