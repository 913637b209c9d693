"""Gradients of single operators: ours in double (gradient.c) beside torch.autograd in float64.

A case is one node whose real inputs are all initializers; the loss is the sum of its outputs times random numbers.
Inputs are drawn as float32, so that both programs start from the same numbers, and away from kinks where there are.

usage: gradients.py BIN_DIR WORK_DIR SHARED_DIR [OPERATOR ...]  prints ok / not ok lines
"""
import os
import subprocess
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


def model(case, inputs, weights, path):
    """The node, and behind it the loss; weights: what each output is multiplied with, or None."""
    names = ["x%d" % i if a is not None else "" for i, a in enumerate(inputs)]
    outputs = ["y%d" % k if w is not None else "" for k, w in enumerate(weights)]
    stored = [numpy_helper.from_array(a, n) for a, n in zip(inputs, names) if a is not None]
    nodes = [helper.make_node(case.op, names[:len(names) - case.around], outputs, domain=case.domain,
                              **case.attributes)]
    sums = []
    for k, w in enumerate(weights):
        if w is None:
            continue
        stored.append(numpy_helper.from_array(w, "w%d" % k))
        nodes.append(helper.make_node("Mul", ["y%d" % k, "w%d" % k], ["p%d" % k]))
        nodes.append(helper.make_node("ReduceSum", ["p%d" % k], ["s%d" % k], keepdims=0))
        sums.append("s%d" % k)
    nodes.append(helper.make_node("Sum", sums, ["loss"]))
    graph = helper.make_graph(nodes, "one", [], [helper.make_tensor_value_info("loss", 1, [])], stored)
    opsets = [helper.make_opsetid("", max(case.opset, 6) if not case.domain else 17)]
    if case.domain:
        opsets.append(helper.make_opsetid(case.domain, case.opset))
    made = helper.make_model(graph, opset_imports=opsets)
    made.ir_version = 8
    onnx.save(made, path)


def theirs(case, inputs, wanted, rng):
    """PyTorch's gradients, and the random factors (as float32) that the loss was made with."""
    tensors = [None if a is None else torch.tensor(a.astype(np.float64) if a.dtype == np.float32 else a)
               for a in inputs]
    for i in wanted:
        tensors[i].requires_grad_(True)
    with torch.enable_grad():
        outputs = case.reference(*tensors)
        outputs = outputs if isinstance(outputs, (list, tuple)) else [outputs]
        weights = [None if y is None or not y.is_floating_point() or not y.requires_grad
                   else rng.standard_normal(tuple(y.shape)).astype(np.float32) for y in outputs]
        loss = sum((y * torch.tensor(w.astype(np.float64))).sum() for y, w in zip(outputs, weights)
                   if w is not None)
    loss.backward()
    return [torch.zeros_like(tensors[i]) if tensors[i].grad is None else tensors[i].grad
            for i in wanted], weights


def check(case, program, path):
    rng = np.random.default_rng(17)
    inputs = case.inputs
    wanted = [i for i, a in enumerate(inputs) if a is not None and a.dtype == np.float32 and i not in case.fixed]
    want, weights = theirs(case, inputs, wanted, rng)
    model(case, inputs, weights, path)
    done = subprocess.run([program, case.bn, path] + ["x%d" % i for i in wanted], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=60)
    if done.returncode:
        return peers.say(False, "%s: %s" % (case, done.stderr.decode().strip()[:300]))
    have = {line.split()[0]: np.array(line.split()[1:], np.float64) for line in done.stdout.decode().splitlines()}
    worst = max(peers.gap(have["x%d" % i].reshape(g.shape), g.numpy()) for i, g in zip(wanted, want))
    return peers.say(worst <= TOLERANCE, "gradient %s: %.1e off, %d inputs" % (case, worst, len(wanted)))


def main():
    warnings.filterwarnings("ignore")
    bin_dir, work = sys.argv[1], sys.argv[2]
    os.makedirs(work, exist_ok=True)
    program = os.path.join(bin_dir, "..", "tests", "peers", "gradient")
    only = sys.argv[4:]
    torch.set_num_threads(1)
    torch.manual_seed(1)
    good = True
    for case in gradcases.CASES:
        if only and case.op not in only:
            continue
        try:
            good &= check(case, program, os.path.join(work, "one.onnx"))
        except (RuntimeError, TypeError, IndexError, ValueError, subprocess.TimeoutExpired) as fault:
            good = peers.say(False, "gradient %s: %s" % (case, str(fault).replace("\n", " ")[:200]))
    sys.exit(0 if good else 1)


main()
