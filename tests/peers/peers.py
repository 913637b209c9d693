"""What the scripts share: the verdict lines, our onnx-run and ONNX Runtime on arrays, half precision as single."""
import os
import shutil
import subprocess

import numpy as np
import onnx
from onnx import mapping, numpy_helper

HERE = os.path.dirname(os.path.abspath(__file__))


def say(good, text):
    print(("ok - " if good else "not ok - ") + text, flush=True)
    return good


def skip(text):
    print("skip - " + text, flush=True)


class Fault(Exception):
    """A program said no: its line."""


def run(command, **more):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more)
    if done.returncode:
        raise Fault(done.stderr.decode(errors="replace").strip().replace("\n", " ")[:300])
    return done.stdout


def inputs(model):
    """The graph's inputs that are not weights (IR 3 lists those too)."""
    stored = {t.name for t in model.graph.initializer}
    return [v for v in model.graph.input if v.name not in stored]


def dims(value):
    return [d.dim_value or None for d in value.type.tensor_type.shape.dim]


def fresh(path):
    shutil.rmtree(path, ignore_errors=True)
    os.makedirs(path)
    return path


def ours(bin_dir, work, path, x):
    """All outputs of onnx-run, in the graph's order."""
    model = onnx.load(path)
    np.save(os.path.join(work, "x.npy"), x)
    out = fresh(os.path.join(work, "ours"))
    run([os.path.join(bin_dir, "onnx-run"), path, inputs(model)[0].name + "=" + os.path.join(work, "x.npy"),
         "--preprocess", "none", "--output", out])
    return [np.load(os.path.join(out, v.name + ".npy")) for v in model.graph.output]


def in_ort(work, path, x, at_once=0):
    """All outputs of ONNX Runtime, in the graph's order; at_once: samples a run, 0: all."""
    np.save(os.path.join(work, "x.npy"), x)
    out = fresh(os.path.join(work, "ort"))
    run(["node", os.path.join(HERE, "ort.js"), path, os.path.join(work, "x.npy"), out, str(at_once)])
    return [np.load(os.path.join(out, "%d.npy" % i)) for i in range(len(onnx.load(path).graph.output))]


def random_input(model, seed, batch, size, force=0):
    """For the model's first input: `batch` and `size` (height, width) where the file leaves them open; force: that
    many samples, whatever it says."""
    shape = dims(inputs(model)[0])
    shape[0] = force or shape[0] or batch
    for axis, length in zip((2, 3), size):
        if len(shape) > axis and shape[axis] is None:
            shape[axis] = length
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def beside_ort(label, bin_dir, work, path, x, tolerance, theirs_of=None, floor=1.0):
    """onnx-run on path, ONNX Runtime on theirs_of, or on path, too."""
    try:
        mine, theirs = ours(bin_dir, work, path, x), in_ort(work, theirs_of or path, x)
    except Fault as fault:
        return say(False, "%s: %s" % (label, fault))
    worst = max(gap(a, b, floor) for a, b in zip(mine, theirs))
    return say(worst <= tolerance, "%s agrees with ONNX Runtime to %.2g" % (label, worst))


def retyped(model, old, new):
    """The same model with every tensor of type `old` as `new`; to a wider type what is stored is kept exactly."""
    model = onnx.ModelProto.FromString(model.SerializeToString())
    retype(model.graph, old, new)
    return model


def retype(graph, old, new):
    dtype = mapping.TENSOR_TYPE_TO_NP_TYPE[new]
    for t in graph.initializer:
        if t.data_type == old:
            t.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(t).astype(dtype), t.name))
    for n in graph.node:
        for a in n.attribute:
            if a.HasField("g"):
                retype(a.g, old, new)
            if a.HasField("t") and a.t.data_type == old:
                a.t.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(a.t).astype(dtype)))
            if n.op_type == "Cast" and a.name == "to" and a.i == old:
                a.i = new
    for v in [*graph.input, *graph.output, *graph.value_info]:
        if v.type.tensor_type.elem_type == old:
            v.type.tensor_type.elem_type = new


def gap(a, b, floor=1.0):
    """The largest difference, relative where numbers are larger than floor; infinite where shapes differ."""
    if a.shape != b.shape or not np.isfinite(a).all():
        return float("inf")
    a, b = a.astype(np.float64), b.astype(np.float64)
    return float(np.abs(a - b).max()) / max(floor, float(np.abs(b).max()))
