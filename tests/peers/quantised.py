"""ONNX Runtime's operators on quantised numbers (com.microsoft): onnx-run beside ONNX Runtime.

usage: quantised.py BIN_DIR WORK_DIR SHARED_DIR         prints ok / not ok lines
"""
import json
import os
import sys

import numpy as np
import onnx
from onnx import helper, numpy_helper

import cases
import peers

rng = np.random.RandomState(5)


def u8(*shape):
    return rng.randint(0, 256, shape).astype(np.uint8)


def saturates():
    """On x86 without VNNI ONNX Runtime adds pairs of uint8 x int8 products in 16 bits, which is too few for weights of 8
    bits (its documentation of quantization: reduce_range)."""
    try:
        with open("/proc/cpuinfo") as f:
            flags = [line for line in f if line.startswith("flags")]
    except OSError:
        return False
    return bool(flags) and "vnni" not in flags[0]


REACH = 64 if saturates() else 128


def i8(*shape):
    return rng.randint(-REACH, REACH, shape).astype(np.int8)


def f4(*shape):
    return rng.randn(*shape).astype(np.float32)


def i32(*values):
    return np.array(values, np.int32)


def scale(*values):
    return np.array(values if len(values) > 1 else values[0], np.float32)


def zero(value, kind=np.uint8):
    return np.array(value, kind)


A, B, S, T, Y = u8(2, 3, 4, 4), u8(2, 3, 4, 4), scale(0.05), scale(0.03), scale(0.04)
W, COLUMNS = i8(5, 6), scale(0.01, 0.02, 0.03, 0.04, 0.05, 0.06)
X, PICTURE, KERNEL = u8(4, 5), u8(1, 2, 5, 5), i8(3, 2, 3, 3)
NONE = None
# operator, attributes, inputs, outputs
NODES = [
    ("QLinearAdd", {}, [A, S, zero(120), B, T, zero(100), Y, zero(128)]),
    ("QLinearAdd", {}, [i8(2, 3), S, zero(-3, np.int8), i8(3), T, zero(4, np.int8), Y, zero(0, np.int8)]),
    ("QLinearMul", {}, [A, S, zero(120), B, T, zero(100), Y, zero(128)]),
    ("QLinearLeakyRelu", {"alpha": 0.2}, [A, S, zero(120), Y, zero(60)]),
    ("QLinearSigmoid", {}, [A, S, zero(120), scale(1 / 256), zero(0)]),
    ("QLinearGlobalAveragePool", {}, [A, S, zero(120), Y, zero(128)]),
    ("QLinearAveragePool", {"kernel_shape": [2, 3], "strides": [2, 1], "pads": [0, 1, 0, 1]},
     [A, S, zero(120), Y, zero(128)]),
    ("QLinearSoftmax", {"axis": -1, "opset": 13}, [A, S, zero(120), scale(1 / 256), zero(0)]),
    ("QLinearConcat", {"axis": 1}, [Y, zero(128), A, S, zero(120), u8(2, 1, 4, 4), T, zero(100)]),
    ("QLinearWhere", {}, [A > 100, A, S, zero(120), B, T, zero(100), Y, zero(128)]),
    ("QLinearConv", {"pads": [1, 1, 1, 1]},
     [PICTURE, S, zero(120), KERNEL, T, zero(0, np.int8), scale(0.5), zero(128)]),
    ("QGemm", {}, [X, S, zero(120), W, T, zero(3, np.int8), NONE, scale(0.2), zero(128)]),
    ("QGemm", {"alpha": 0.5},
     [X, S, zero(120), W, COLUMNS, np.zeros(6, np.int8), rng.randint(-900, 900, 6).astype("i4")]),
    ("QGemm", {"transB": 1},
     [X, S, zero(120), i8(6, 5), T, zero(3, np.int8), rng.randint(-900, 900, 6).astype("i4"), scale(0.2), zero(128)]),
    ("MatMulIntegerToFloat", {}, [X, W, S, COLUMNS, zero(120), np.zeros(6, np.int8), rng.randn(6).astype("f4")]),
    ("MatMulIntegerToFloat", {}, [X, W, S, T]),
    ("DynamicQuantizeMatMul", {}, [rng.randn(4, 5).astype("f4"), W, T, zero(3, np.int8), rng.randn(6).astype("f4")]),
    ("QuantizeLinear", {}, [rng.randn(3, 4).astype("f4"), S, zero(100)]),
    ("DequantizeLinear", {"axis": 1}, [i8(3, 6), COLUMNS, np.arange(6).astype("i1")]),
    ("QAttention", {"num_heads": 2},
     [u8(1, 3, 4), i8(4, 12), rng.randn(12).astype("f4"), S, T, NONE, zero(120), zero(3, np.int8)]),
    ("MatMulNBits", {"N": 5, "K": 40, "block_size": 16}, [f4(2, 3, 40), u8(5, 3, 8), f4(15)]),
    ("MatMulNBits", {"N": 5, "K": 40, "block_size": 16},
     [f4(4, 40), u8(5, 3, 8), f4(5, 3), u8(5, 2), NONE, f4(5)]),
    ("MatMulNBits", {"N": 5, "K": 64, "block_size": 32, "bits": 8}, [f4(4, 64), u8(5, 2, 32), f4(10), u8(10)]),
    ("MatMulNBits", {"N": 3, "K": 64, "block_size": 32}, [f4(4, 64), u8(3, 2, 16), f4(6), f4(6)]),
    ("RotaryEmbedding", {}, [f4(2, 3, 8), np.array([[0, 1, 2], [2, 4, 1]]), f4(5, 2), f4(5, 2)]),
    ("RotaryEmbedding", {"interleaved": 1}, [f4(2, 2, 3, 4), np.array([1]), f4(5, 2), f4(5, 2)]),
    ("RotaryEmbedding", {"num_heads": 2, "rotary_embedding_dim": 2}, [f4(2, 3, 8), np.array([2]), f4(5, 1), f4(5, 1)]),
    ("GatherBlockQuantized", {"block_size": 16, "quantize_axis": 1},
     [u8(5, 20), np.array([[0, 1, -1], [2, 4, 1]]), f4(5, 3), u8(5, 2)]),
    ("GatherBlockQuantized", {"block_size": 16, "quantize_axis": -1, "bits": 8},
     [u8(5, 2, 20), np.array([4, 1]), f4(5, 2, 2)]),
    ("GroupQueryAttention", {"num_heads": 4, "kv_num_heads": 2},
     [f4(2, 3, 64), f4(2, 3, 32), f4(2, 3, 32), NONE, NONE, i32(2, 2), i32(3)]),
    ("GroupQueryAttention", {"num_heads": 4, "kv_num_heads": 2, "do_rotary": 1, "softcap": 0.8, "scale": 0.7},
     [f4(1, 2, 128), NONE, NONE, f4(1, 2, 3, 16), f4(1, 2, 3, 16), i32(4), i32(5), f4(6, 8), f4(6, 8)]),
    ("GroupQueryAttention", {"num_heads": 2, "kv_num_heads": 2, "do_rotary": 1, "rotary_interleaved": 1},
     [f4(2, 1, 32), f4(2, 1, 32), f4(2, 1, 32), f4(2, 2, 3, 16), f4(2, 2, 3, 16), i32(3, 2), i32(4), f4(6, 8),
      f4(6, 8)]),
    ("GroupQueryAttention", {"num_heads": 2, "kv_num_heads": 1, "local_window_size": 2},
     [f4(1, 5, 32), f4(1, 5, 16), f4(1, 5, 16), NONE, NONE, i32(4), i32(5)]),
    ("GroupQueryAttention", {"num_heads": 2, "kv_num_heads": 1, "smooth_softmax": 1},
     [f4(1, 5, 32), f4(1, 5, 16), f4(1, 5, 16), NONE, NONE, i32(4), i32(5), NONE, NONE, NONE, f4(1, 2, 5, 5)]),
    ("GroupQueryAttention", {"num_heads": 2, "kv_num_heads": 1},
     [f4(1, 5, 32), f4(1, 5, 16), f4(1, 5, 16), NONE, NONE, i32(4), i32(5), NONE, NONE, NONE, NONE, f4(2)]),
]


def model(op, attributes, values):
    names = ["x%d" % i if v is not None else "" for i, v in enumerate(values)]
    stored = [numpy_helper.from_array(np.asarray(v), n) for v, n in zip(values, names) if v is not None]
    # without a present, ONNX Runtime's does not read the past
    outputs = ["y", "k", "v"] if op == "GroupQueryAttention" else ["y"]
    node = helper.make_node(op, names, outputs, domain="com.microsoft", **attributes)
    graph = helper.make_graph([node], "one", [], [onnx.ValueInfoProto(name="y")], stored)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    made = helper.make_model(graph, opset_imports=opsets)
    made.ir_version = 8
    return made


def main():
    bin_dir, work, _ = sys.argv[1:4]
    peers.fresh(work)
    jobs = []
    for k, (op, attributes, values) in enumerate(NODES):
        path = os.path.join(work, "%d.onnx" % k)
        onnx.save(model(op, attributes, values), path)
        jobs.append(path)
    for (op, attributes, values), path, reply in zip(NODES, jobs, cases.theirs(jobs)):
        title = "%s %s (%s)" % (op, json.dumps(attributes), " ".join(
            "-" if v is None else "%s%s" % (v.dtype, list(v.shape)) for v in values))
        try:
            if "fault" in reply:
                raise peers.Fault("ONNX Runtime: " + reply["fault"][:300])
            out = peers.fresh(os.path.join(work, "ours"))
            peers.run([os.path.join(bin_dir, "onnx-run"), path, "--output", out])
            have = np.load(os.path.join(out, "y.npy"))
        except peers.Fault as fault:
            peers.say(False, "%s: %s" % (title, fault))
            continue
        want = np.array([float(v) for v in reply["outputs"][0]["data"]]).reshape(reply["outputs"][0]["dims"])
        # a whole number may fall to the other side of a half
        whole = have.dtype.kind in "iu"
        off = float(np.abs(have.astype(float) - want).max()) if list(have.shape) == list(want.shape) else np.inf
        peers.say(off <= (1 if whole else 1e-4), "%s beside ONNX Runtime: %g" % (title, off))


if __name__ == "__main__":
    main()
