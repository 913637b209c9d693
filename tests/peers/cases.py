"""The operator cases of tests/op beside ONNX Runtime, where it has a kernel: the same node, the same numbers.

usage: cases.py BIN_DIR WORK_DIR SHARED_DIR [OPERATOR ...]      prints ok / not ok lines
"""
import json
import os
import subprocess
import sys

import numpy as np
import onnx
from onnx import helper

import peers

# TensorProto.DataType, also of types that are younger than Debian's onnx.
TYPES = {"float": 1, "uint8": 2, "int8": 3, "uint16": 4, "int16": 5, "int32": 6, "int64": 7, "string": 8, "bool": 9,
         "float16": 10, "double": 11, "uint32": 12, "uint64": 13, "complex64": 14, "complex128": 15, "bfloat16": 16,
         "float8e4m3fn": 17, "float8e4m3fnuz": 18, "float8e5m2": 19, "float8e5m2fnuz": 20, "uint4": 21, "int4": 22,
         "float4e2m1": 23, "float8e8m0": 24, "uint2": 25, "int2": 26, "float6e2m3": 27, "float6e3m2": 28}
PLAIN = {"float": "f4", "double": "f8", "float16": "f2", "uint8": "u1", "int8": "i1", "uint16": "u2", "int16": "i2",
         "int32": "i4", "int64": "i8", "uint32": "u4", "uint64": "u8", "bool": "?"}
# Both programs hand these over as they are; others go through a Cast.
DIRECT = {"float", "double", "int8", "uint8", "int16", "uint16", "int32", "int64", "uint32", "uint64", "bool", "string"}
TOLERANCE = 1e-5
LOOSE = {"float16": 2e-3, "bfloat16": 2e-2}
# Their outputs are random.
APART = {"RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Multinomial", "Bernoulli",
         "Dropout"}
ROUNDED = "its angles are in single precision: 2e-5 to 7e-5 from numpy.fft in double, ours at most 5e-8 (operators.py)"
# How titles of cases start where ONNX Runtime is known to give something else, and why we keep ours.
OTHERWISE = {
    "Cast-9 [to=7] (float:4)": "what no whole number holds is undefined",
    "Cast-13 [to=8]": "digits: as NumPy writes them in ONNX's own tests",
    "DFT-20 [] (float:2x20x2)": ROUNDED,
    "DFT-20 [] (float:2x31x1)": ROUNDED,
    "DFT-20 [] (float:2x37x2)": ROUNDED,
    "DFT-20 [] (float:2x49x1)": ROUNDED,
    "DFT-20 [] (float:2x66x2)": ROUNDED,
    "GridSample-16 [] (float:1x1x1x2 ": "a place that is not a number is outside",
    "GRU-14 [direction=reverse] (float:2x5x3 float:1x780x3": "no steps end in the state that they began with",
    "GRU-14 [activations=Affine": "Affine's default is x, as the operator's",
    "LSTM-14 [] (float:0x5x3": "no steps end in the state that they began with",
    "LSTM-14 [] (float:2x5x3 float:1x1040x3": "no steps end in the state that they began with",
    "LSTM-14 [activations=Affine": "Affine's default is x, as the operator's",
    "RNN-14 [activations=Affine] ": "Affine's default is x, as the operator's",
    "RNN-14 [activations=Affine direction": "Affine's default is x, as the operator's",
    "Inverse-1 [] (float:2x2)": "NaN where there is no inverse",
    "LabelEncoder-2 [keys_floats=1,nan,3": "NaN is a key, as from version 4 on",
    "LinearClassifier-1 [coefficients=0.1,0.2 intercepts=0.5 post_transform=PROBIT": "labels go by the final score",
    "LinearClassifier-1 [coefficients=1,1 intercepts=0.5 post_transform=PROBIT": "labels go by the final score",
    "MatMulInteger-10 [] (uint8:5x0": "a sum of nothing is 0",
    "MaxPool-12 [kernel_shape=2 strides=2] (float:1x1x10)": "NaN is larger than any number, as in PyTorch",
    "MaxPool-12 [kernel_shape=4,9": "NaN is larger than any number, as in PyTorch",
    "MaxUnpool-9 [kernel_shape=2,2 strides=2,2]": "indices mean the size without output_shape, as in ONNX's own test",
    "Pad-19 [mode=wrap] (float:3 ": "wraps more than once",
    "ReduceMin-11 [axes=1] (float:1x34)": "NaN stays, as in NumPy and PyTorch, and as its own ReduceMax has it",
    "STFT-17 [onesided=0] (float:2x9x2 ": "a complex signal, as numpy.fft has it",
    "SVMRegressor-1 [kernel_type=SIGMOID": "post_transform is not passed over",
    "Shrink-9 [lambd=0.5 bias=3] (uint8:2)": "below 0 is 0",
    "TreeEnsemble-5 [n_targets=1 tree_roots=0 post_transform=2": "post_transform is not passed over",
    "TreeEnsembleRegressor-1 [n_targets=2": "a target that no leaf adds to has its base value",
}


def stored(t, name):
    """An initializer, or None: a type that numpy cannot make."""
    values, kind = t["values"], t["type"]
    proto = onnx.TensorProto(name=name, data_type=TYPES[kind], dims=t["dims"])
    if kind == "string":
        proto.string_data.extend(v.encode() for v in values)
    elif kind in PLAIN:
        proto.raw_data = np.array(values, PLAIN[kind]).tobytes()
    elif kind == "bfloat16":
        bits = np.array(values, "f4").view("u4").astype("u8")
        proto.raw_data = ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype("u2").tobytes()
    elif kind in ("uint4", "int4", "uint2", "int2"):
        per = 2 if "4" in kind else 4
        bits = 8 // per
        whole = np.array(values, "i8") & ((1 << bits) - 1)
        whole = np.concatenate([whole, np.zeros(-len(whole) % per, "i8")]).reshape(-1, per)
        proto.raw_data = (whole << bits * np.arange(per)).sum(1).astype("u1").tobytes()
    else:
        return None
    return proto


def attribute(name, kind, text):
    if kind == "tensor":
        return stored(text, name)
    words = text.split(",") if text else []
    return {"int": lambda: {"true": 1, "false": 0}.get(text) if text in ("true", "false") else int(text),
            "real": lambda: float(text), "text": lambda: text, "ints": lambda: [int(w) for w in words],
            "reals": lambda: [float(w) for w in words], "texts": lambda: words}[kind]()


def model(case):
    """The node on initializers; None: not to be written."""
    names = ["x%d" % i if x else "" for i, x in enumerate(case["inputs"])]
    kept = [stored(x, n) for x, n in zip(case["inputs"], names) if x]
    given = {}
    for name, kind, text in case["attributes"]:
        value = attribute(name, kind, text)
        given[name] = given[name] + value if name in given else value   # a repeated word of a list
    if case["op"] in ("RNN", "GRU", "LSTM"):
        given.setdefault("hidden_size", case["inputs"][2]["dims"][2])   # which we read off the weights
    if any(k is None for k in kept) or any(v is None or v == [] for v in given.values()):
        return None
    outs = ["y%d" % i if t else "" for i, t in enumerate(case["outputs"])]
    nodes = [helper.make_node(case["op"], names, outs, domain=case["domain"], **given)]
    ends = []
    for name, kind in zip(outs, case["outputs"]):
        if not name:
            continue
        if kind not in DIRECT:
            nodes.append(helper.make_node("Cast", [name], ["z" + name], to=1))
            name = "z" + name
        ends.append(onnx.ValueInfoProto(name=name))
    graph = helper.make_graph(nodes, "one", [], ends, kept)
    opsets = [helper.make_opsetid("", 21 if case["domain"] else max(case["version"], 1))]
    if case["domain"]:
        opsets.append(helper.make_opsetid(case["domain"], case["version"]))
    made = helper.make_model(graph, opset_imports=opsets)
    made.ir_version = 10
    return made


def title(case):
    attributes = " ".join("%s=%s" % (n, "t" if k == "tensor" else v) for n, k, v in case["attributes"])
    return "%s-%d [%s] (%s)%s" % (case["op"], case["version"], attributes, " ".join(
        "%s:%s" % (x["type"], "x".join(map(str, x["dims"])) or "s") if x else "-" for x in case["inputs"]),
        " train" if case["train"] else "")


def otherwise(text):
    """Why ours may differ, or None."""
    return next((why for start, why in OTHERWISE.items() if text.startswith(start)), None)


def gap(case, have, want):
    """The largest difference, 0 where it may be, or what differs."""
    worst = 0.0
    kinds = [t for t in case["outputs"] if t]
    for kind, a, b in zip(kinds, have, want):
        if list(a.shape) != b["dims"]:
            return "shape %s, wanted %s" % (list(a.shape), b["dims"])
        if kind == "string":
            words = [v.decode() if isinstance(v, bytes) else str(v) for v in a.ravel()]
            if words != b["data"]:
                return "%s, wanted %s" % (words, b["data"])
            continue
        read = {"true": 1.0, "false": 0.0}
        theirs = np.array([read[v] if v in read else float(v) for v in b["data"]]).reshape(a.shape)
        ours = a.astype(float)
        same = (ours == theirs) | (np.isnan(ours) & np.isnan(theirs))
        with np.errstate(invalid="ignore"):
            off = np.where(same, 0, np.abs(ours - theirs) / (1 + np.abs(theirs)))
        off = np.where(np.isnan(off), np.inf, off)
        worst = max(worst, float(off.max(initial=0)) * TOLERANCE / LOOSE.get(kind, TOLERANCE))
        if worst > TOLERANCE and a.size < 20:
            return "%s, wanted %s" % (ours.ravel().tolist(), theirs.ravel().tolist())
    return worst


def ours(bin_dir, work, path, made):
    out = peers.fresh(os.path.join(work, "ours"))
    peers.run([os.path.join(bin_dir, "onnx-run"), path, "--output", out])
    return [np.load(os.path.join(out, v.name + ".npy")) for v in made.graph.output]


def theirs(paths):
    """What ONNX Runtime says of each model; one that ends the program is a fault of its own."""
    env = dict(os.environ, ALLOW_RELEASED_ONNX_OPSET_ONLY="0")
    replies = []
    while len(replies) < len(paths):
        done = subprocess.run(["node", os.path.join(peers.HERE, "ort_all.js")], env=env, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, input="\n".join(paths[len(replies):]).encode())
        replies += map(json.loads, done.stdout.decode().splitlines())
        if len(replies) < len(paths):
            replies.append({"fault": "ONNX Runtime ended with status %d" % done.returncode})
    return replies


def main():
    bin_dir, work, _ = sys.argv[1:4]
    peers.fresh(work)
    lines = peers.run([os.path.join(bin_dir, "..", "tests", "peers", "cases")] + sys.argv[4:]).decode().splitlines()
    cases = [c for c in map(json.loads, lines)
             if c["op"] not in APART and c["domain"] != "onnx_adapt" and not c["train"]]
    jobs = []
    for k, case in enumerate(cases):
        made = model(case)
        if made:
            path = os.path.join(work, "%d.onnx" % k)
            onnx.save(made, path)
            jobs.append((case, made, path))
    for (case, made, path), reply in zip(jobs, theirs([path for _, _, path in jobs])):
        if otherwise(title(case)):
            peers.skip("%s beside ONNX Runtime: %s" % (title(case), otherwise(title(case))))
            continue
        if "fault" in reply:
            print("# %s: %s" % (title(case), reply["fault"][:300]))
            continue
        try:
            off = gap(case, ours(bin_dir, work, path, made), reply["outputs"])
        except peers.Fault as fault:
            off = str(fault)
        good = isinstance(off, float) and off <= TOLERANCE
        peers.say(good, "%s beside ONNX Runtime: %s" % (title(case), off))


if __name__ == "__main__":
    main()
