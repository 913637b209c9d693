"""Gradients of gradients: Gradient of ai.onnx.preview.training, twice, in double, beside torch.autograd.

The cases are those of gradients.py.  The loss is the sum of squares of the outputs times random numbers; what is
differentiated again is the sum of its gradients times random numbers.

usage: gradtwice.py BIN_DIR WORK_DIR SHARED_DIR [OPERATOR ...]  prints ok / not ok / skip lines
"""
import os
import re
import shutil
import sys
import warnings

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper

import gradcases
import gradcontrol  # noqa: F401 (adds its cases)
import gradlayers  # noqa: F401 (adds its cases)
import peers

TOLERANCE = 1e-9
DOMAIN = "ai.onnx.preview.training"
# Ours says that they have none: a case of any other operator has to have one.
NONE = {"CausalConvWithState", "GRU", "LSTM", "LinearAttention",
        "MultiHeadAttention by heads", "Normalizer", "RNN", "ScatterElements mul", "ScatterElements max", "ScatterElements min"}


def double(a):
    return a.astype(np.float64) if a is not None and a.dtype == np.float32 else a


def widened(body):
    """A body whose constants are double, as its inputs are here."""
    made = onnx.GraphProto()
    made.CopyFrom(body)
    tensors = list(made.initializer) + [a.t for n in made.node for a in n.attribute if a.HasField("t")]
    for t in tensors:
        if t.data_type == onnx.TensorProto.FLOAT:
            t.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(t).astype(np.float64), t.name))
    for n in made.node:
        for a in n.attribute:
            if n.op_type == "Cast" and a.name == "to" and a.i == onnx.TensorProto.FLOAT:
                a.i = onnx.TensorProto.DOUBLE
    return made


def unlike(case):
    """Cast and ai.onnx.ml make float, which is not as exact; rounding has no gradient where it is not trained."""
    return case.domain == "ai.onnx.ml" or case.op == "Cast" or case.note == "a quantised weight"


def named(case):
    kind = case.attributes.get("reduction")
    if case.op == "MultiHeadAttention" and case.inputs[1].ndim == 4:
        return case.op + " by heads"
    return "%s %s" % (case.op, kind) if case.op == "ScatterElements" and kind else case.op


def theirs(case, inputs, wanted, rng):
    """The second gradients, the random factors of outputs and gradients; None: PyTorch has none."""
    tensors = [None if a is None else torch.tensor(a) for a in inputs]
    for i in wanted:
        tensors[i].requires_grad_(True)
    outputs = case.reference(*tensors)
    outputs = outputs if isinstance(outputs, (list, tuple)) else [outputs]
    weights = [None if y is None or not y.is_floating_point() or not y.requires_grad
               else rng.standard_normal(tuple(y.shape)) for y in outputs]
    loss = sum((y * y * torch.tensor(w)).sum() for y, w in zip(outputs, weights) if w is not None)
    first = torch.autograd.grad(loss, [tensors[i] for i in wanted], create_graph=True, allow_unused=True)
    factors = [rng.standard_normal(inputs[i].shape) for i in wanted]
    again = sum((g * torch.tensor(f)).sum() for g, f in zip(first, factors) if g is not None)
    if not torch.is_tensor(again) or not again.requires_grad:
        return [np.zeros(inputs[i].shape) for i in wanted], weights, factors
    second = torch.autograd.grad(again, [tensors[i] for i in wanted], allow_unused=True)
    return [np.zeros(inputs[i].shape) if g is None else g.numpy() for i, g in zip(wanted, second)], weights, factors


def sums(pairs, stored, nodes, total, square):
    """total = the sum of name (times itself) times its factors."""
    parts = []
    for name, factor in pairs:
        stored.append(numpy_helper.from_array(factor, name + "_by"))
        if square:
            nodes.append(helper.make_node("Mul", [name, name], [name + "_2"]))
        nodes.append(helper.make_node("Mul", [name + "_2" if square else name, name + "_by"], [name + "_p"]))
        nodes.append(helper.make_node("ReduceSum", [name + "_p"], [name + "_s"], keepdims=0))
        parts.append(name + "_s")
    nodes.append(helper.make_node("Sum", parts, [total]))


def model(case, inputs, wanted, weights, factors, path):
    names = ["x%d" % i if a is not None else "" for i, a in enumerate(inputs)]
    outputs = ["y%d" % k if w is not None else "" for k, w in enumerate(weights)]
    xs = ["x%d" % i for i in wanted]
    stored = [numpy_helper.from_array(a, n) for a, n in zip(inputs, names) if a is not None]
    attributes = {k: widened(v) if hasattr(v, "node") else v for k, v in case.attributes.items()}
    nodes = [helper.make_node(case.op, names[:len(names) - case.around], outputs, domain=case.domain, **attributes)]
    sums([("y%d" % k, w) for k, w in enumerate(weights) if w is not None], stored, nodes, "loss", True)
    nodes.append(helper.make_node("Gradient", xs, ["g" + x for x in xs], domain=DOMAIN, xs=xs, y="loss"))
    sums([("gx%d" % i, f) for i, f in zip(wanted, factors)], stored, nodes, "again", False)
    nodes.append(helper.make_node("Gradient", xs, ["h" + x for x in xs], domain=DOMAIN, xs=xs, y="again"))
    ports = [helper.make_tensor_value_info("h" + x, onnx.TensorProto.DOUBLE, None) for x in xs]
    opsets = [helper.make_opsetid("", max(case.opset, 6) if not case.domain else 17), helper.make_opsetid(DOMAIN, 1)]
    if case.domain:
        opsets.append(helper.make_opsetid(case.domain, case.opset))
    made = helper.make_model(helper.make_graph(nodes, "twice", [], ports, stored), opset_imports=opsets)
    made.ir_version = 8
    onnx.save(made, path)


def check(case, program, work):
    rng = np.random.default_rng(19)
    path, out = os.path.join(work, "one.onnx"), os.path.join(work, "out")
    inputs = [double(a) for a in case.inputs]
    wanted = [i for i, a in enumerate(inputs) if a is not None and a.dtype == np.float64 and i not in case.fixed]
    try:
        want, weights, factors = theirs(case, inputs, wanted, rng)
    except (RuntimeError, NotImplementedError) as fault:
        return peers.skip("second gradient %s: PyTorch: %s" % (case, str(fault).replace("\n", " ")[:100])) or True
    model(case, inputs, wanted, weights, factors, path)
    shutil.rmtree(out, ignore_errors=True)
    try:
        peers.run([program, path, "--output", out], timeout=120)
    except peers.Fault as fault:
        why = re.search(r"no second derivative|control flow|training mode", str(fault))
        if why and named(case) in NONE:
            return peers.skip("second gradient %s: %s" % (case, why.group())) or True
        return peers.say(False, "second gradient %s: %s" % (case, fault))
    have = [np.load(os.path.join(out, "hx%d.npy" % i)) for i in wanted]
    worst = max(peers.gap(h.reshape(w.shape), w) for h, w in zip(have, want))
    return peers.say(worst <= TOLERANCE and named(case) not in NONE,
                     "second gradient %s: %.1e off, %d inputs" % (case, worst, len(wanted)))


def main():
    warnings.filterwarnings("ignore")
    bin_dir, work = sys.argv[1], sys.argv[2]
    os.makedirs(work, exist_ok=True)
    only = sys.argv[4:]
    torch.set_num_threads(1)
    good = True
    for case in gradcases.CASES:
        if case.bn != "frozen" or (only and case.op not in only) or unlike(case):
            continue
        good &= check(case, os.path.join(bin_dir, "onnx-run"), work)
    sys.exit(0 if good else 1)


main()
