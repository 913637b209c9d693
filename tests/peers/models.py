"""The real files of ../shared/models: outputs beside ONNX Runtime's, training through all layers, and the same bytes
when nothing changes.

ONNX Runtime computes half precision in half precision, onnx-run in single: a half precision file is compared
after its tensors were widened, and as it is stored with the tolerance of what half precision can hold.

A classifier takes one step on random samples, after which all weights that onnx-freeze set free have other, finite
numbers, and every other real tensor's bytes are what they were; the others (detectors) run one step of --bench.

usage: models.py BIN_DIR WORK_DIR SHARED_DIR [FILE ...]         prints ok / not ok / skip lines
"""
import glob
import json
import os
import subprocess
import sys

import numpy as np
import onnx
from onnx import numpy_helper

import peers

TOLERANCE = 1e-4
HALF_TOLERANCE = 1e-3           # outputs of softmax near 1 have steps of 4.9e-4
OPEN_SIZE = {"ppocr-cls-paddle2onnx.onnx": (48, 192)}   # height and width where the file leaves them open
TESTDATA = "/usr/share/libonnx-testdata/data/*/*/*.onnx"
BATCH = 4


def forward(name, model, path, bin_dir, work):
    half = peers.inputs(model)[0].type.tensor_type.elem_type == onnx.TensorProto.FLOAT16
    wide, good = os.path.join(work, "wide.onnx"), True
    for batch in (1,) if peers.dims(peers.inputs(model)[0])[0] else (1, 3):
        x = peers.random_input(model, len(name) + batch, batch, OPEN_SIZE.get(name, (64, 64)))
        label = "%s, batch %d" % (name, len(x))
        if half:
            onnx.save(peers.retyped(model, onnx.TensorProto.FLOAT16, onnx.TensorProto.FLOAT), wide)
            good &= peers.beside_ort(label + ", as float32", bin_dir, work, wide, x, TOLERANCE)
            x = x.astype(np.float16).astype(np.float32)
            good &= peers.beside_ort(label + ", half precision", bin_dir, work, path, x, HALF_TOLERANCE, wide)
        else:
            good &= peers.beside_ort(label, bin_dir, work, path, x, TOLERANCE)
    return good


def free(path, bin_dir):
    return peers.run([os.path.join(bin_dir, "onnx-freeze"), "-q", "--none", path])


def classes(model):
    shape = peers.dims(model.graph.output[0])
    flat = [d for d in shape[1:] if d != 1]
    return flat[0] if len(model.graph.output) == 1 and len(flat) == 1 and flat[0] else 0


def stored(path):
    """The bytes and the numbers of every tensor, initializer or Constant node."""
    graph = onnx.load(path).graph
    tensors = {t.name: t for t in graph.initializer}
    tensors.update({n.output[0]: a.t for n in graph.node for a in n.attribute if a.name == "value"})
    return {k: numpy_helper.to_array(t) for k, t in tensors.items()}


def step(name, model, path, bin_dir, work):
    """The step of a classifier, with random numbers for targets: it need not be one of their kind."""
    x = peers.random_input(model, 5, BATCH, OPEN_SIZE.get(name, (64, 64)), BATCH)
    np.save(os.path.join(work, "x.npy"), x)
    np.save(os.path.join(work, "y.npy"), np.random.default_rng(6).random((BATCH, classes(model)), np.float32))
    out, start = os.path.join(work, "out.onnx"), os.path.join(work, "start.onnx")
    data = os.path.join(work, "x.npy") + "," + os.path.join(work, "y.npy")
    with open(start, "wb") as f:
        f.write(free(path, bin_dir))
    peers.run([os.path.join(bin_dir, "onnx-train"), "-q", "--data", data, "--task", "regress", "--batch", str(BATCH),
               "--epochs", "1", "--lr", "0.01", "--schedule", "constant", "--bn", "frozen", "--no-keep-best",
               "-o", out, start])
    listed = peers.run([os.path.join(bin_dir, "onnx-info"), "--json", "--weights", start])
    free_ones = {w["name"] for w in json.loads(listed)["weights"] if w["trains"]}
    old, new = stored(start), stored(out)
    moved = {k for k in old if old[k].dtype != np.int64 and k in new and not np.array_equal(old[k], new[k])}
    finite = all(np.isfinite(new[k]).all() for k in moved)
    # Where a batch of 1 is baked in, the shapes that say so are others.
    kept = all(k in new and old[k].tobytes() == new[k].tobytes() for k in old
               if k not in moved and old[k].dtype != np.int64)
    return peers.say(finite and kept and moved == free_ones, "%s trains: %d of %d free weights moved, all else is "
                     "identical" % (name, len(moved & free_ones), len(free_ones)))


def trains(name, model, path, bin_dir, work):
    if classes(model) > 1:
        return step(name, model, path, bin_dir, work)
    said = subprocess.run([os.path.join(bin_dir, "onnx-train"), "--bench", "1", "--batch", "2"],
                          input=free(path, bin_dir), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    return peers.say(said.returncode == 0, "%s trains: a step of --bench%s"
                     % (name, "" if said.returncode == 0 else ": " + said.stderr.decode()[:200]))


def saved(paths, bin_dir, work, what):
    """Read and written without a change: the same bytes."""
    out, others = os.path.join(work, "saved.onnx"), []
    for path in paths:
        peers.run([os.path.join(bin_dir, "onnx-export"), "-q", "-o", out, path])
        if open(out, "rb").read() != open(path, "rb").read():
            others.append(path)
    return peers.say(paths and not others, "%d of %d %s: read and written, the same bytes %s"
                     % (len(paths) - len(others), len(paths), what, " ".join(others[:5])))


def main():
    bin_dir, work, shared = sys.argv[1:4]
    os.makedirs(work, exist_ok=True)
    files, good = sorted(glob.glob(os.path.join(shared, "models", "*.onnx"))), True
    if not files:
        peers.skip("models: no ../shared/models here")
    for path in files:
        name, model = os.path.basename(path), onnx.load(path)
        if sys.argv[4:] and name not in sys.argv[4:]:
            continue
        for check in (forward, trains):
            try:
                good &= check(name, model, path, bin_dir, work)
            except peers.Fault as fault:
                good = peers.say(False, "%s: %s" % (name, fault))
    for what, paths in (("files of ../shared/models", files), ("models of libonnx-testdata", glob.glob(TESTDATA))):
        if paths:
            good &= saved(paths, bin_dir, work, what)
    sys.exit(0 if good else 1)


main()
