"""ONNX Runtime's own operators (com.microsoft) that are written out, those on quantised numbers first: onnx-run beside
ONNX Runtime, and beside PyTorch where its CPU has no kernel.

usage: quantised.py BIN_DIR WORK_DIR SHARED_DIR         prints ok / not ok lines
"""
import json
import os
import sys

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from torch.nn import functional as F

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
OUTPUTS = {"GroupQueryAttention": 3, "EmbedLayerNormalization": 2, "Unique": 3, "CausalConvWithState": 2, "LinearAttention": 2,
           "QEmbedLayerNormalization": 2}
# DynamicQuantizeLSTM rounds states and inputs to 8 bits before each product, which ours takes as they are: 9 terms, each
# off by at most 0.012 of its weight, and a gate's slope is at most a quarter.
FAR = {"DynamicQuantizeLSTM": 2e-2}
TOKENS = rng.randint(0, 5, (2, 3)).astype(np.int32)
U2 = np.array([128, 100], np.uint8)
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
    ("QLinearGlobalAveragePool", {"channels_last": 1}, [A, S, zero(120), Y, zero(128)]),
    ("QLinearAveragePool", {"kernel_shape": [2, 2], "pads": [1, 0, 0, 1], "channels_last": 1, "count_include_pad": 1},
     [A, S, zero(120), Y, zero(128)]),
    ("QLinearSoftmax", {"axis": -1, "opset": 13}, [A, S, zero(120), scale(1 / 256), zero(0)]),
    ("QLinearSoftmax", {"axis": 1, "opset": 12}, [A, S, zero(120), scale(1 / 256), zero(0)]),
    ("QLinearConcat", {"axis": 1}, [Y, zero(128), A, S, zero(120), u8(2, 1, 4, 4), T, zero(100)]),
    ("QLinearWhere", {}, [A > 100, A, S, zero(120), B, T, zero(100), Y, zero(128)]),
    ("QLinearConv", {"pads": [1, 1, 1, 1]},
     [PICTURE, S, zero(120), KERNEL, T, zero(0, np.int8), scale(0.5), zero(128)]),
    ("QLinearConv", {"pads": [1, 1, 1, 1], "strides": [2, 1], "channels_last": 1},
     [u8(1, 5, 5, 2), S, zero(120), KERNEL, T, zero(0, np.int8), scale(0.5), zero(128)]),
    ("QLinearConv", {"kernel_shape": [3], "channels_last": 1},
     [u8(1, 6, 2), S, zero(120), i8(3, 2, 3), T, zero(0, np.int8), scale(0.5), zero(128)]),
    ("NhwcMaxPool", {"kernel_shape": [2, 2], "strides": [2, 1], "pads": [0, 1, 0, 0]}, [u8(1, 4, 5, 3)]),
    ("NhwcMaxPool", {"kernel_shape": [3], "dilations": [2]}, [i8(2, 7, 3)]),
    ("QEmbedLayerNormalization", {"epsilon": 0.01},
     [TOKENS, TOKENS % 2, u8(5, 8), u8(4, 8), u8(2, 8), u8(8), u8(8), NONE, S, T, Y, S, T, zero(120), zero(99),
      zero(128), zero(7), zero(30)]),
    ("QEmbedLayerNormalization", {},
     [TOKENS, NONE, u8(5, 8), u8(4, 8), NONE, u8(8), u8(8), TOKENS * 0 + 1, S, T, NONE, S, T, zero(120), zero(99),
      NONE, zero(7), zero(30)]),
    ("DynamicQuantizeLSTM", {"hidden_size": 4},
     [f4(3, 2, 5), i8(1, 5, 16), i8(1, 4, 16), f4(1, 32), NONE, NONE, NONE, NONE, scale(0.01, 0.01)[:1],
      np.zeros(1, np.int8), scale(0.02, 0.01)[:1], np.zeros(1, np.int8)]),
    ("DynamicQuantizeLSTM", {"hidden_size": 4, "direction": "bidirectional"},
     [f4(3, 2, 5), u8(2, 5, 16), u8(2, 4, 16), f4(2, 32), NONE, NONE, NONE, NONE, scale(0.008, 0.006), U2,
      scale(0.01, 0.005), U2]),
    ("DynamicQuantizeLSTM", {"hidden_size": 4},
     [f4(3, 2, 5), i8(1, 5, 16), i8(1, 4, 16), NONE, i32(3, 2), f4(1, 2, 4), f4(1, 2, 4), f4(1, 12),
      np.abs(f4(1, 16)) * 0.01 + 0.001, np.zeros((1, 16), np.int8), np.abs(f4(1, 16)) * 0.01 + 0.001,
      np.zeros((1, 16), np.int8)]),
    ("DecoderMaskedMultiHeadAttention", {"num_heads": 2, "past_present_share_buffer": 1},
     [f4(2, 1, 16), f4(2, 2, 5, 8), f4(2, 2, 5, 8)]),
    ("DecoderMaskedMultiHeadAttention", {"num_heads": 2, "past_present_share_buffer": 1, "mask_filter_value": -9.0},
     [f4(2, 1, 16), f4(2, 2, 5, 8), f4(2, 2, 5, 8), np.array([[1, 0, 1, 1, 1], [1, 1, 1, 0, 1]], np.int32), NONE, NONE,
      NONE, NONE, NONE, NONE, f4(48)]),
    ("DecoderMaskedMultiHeadAttention qk", {"num_heads": 2, "past_present_share_buffer": 1, "output_qk": 1},
     [f4(2, 1, 16), f4(2, 2, 5, 8), f4(2, 2, 5, 8)]),
    ("DecoderMaskedMultiHeadAttention qk", {"num_heads": 2, "past_present_share_buffer": 1, "output_qk": 1},
     [f4(2, 1, 16), f4(2, 2, 5, 8), f4(2, 2, 5, 8), np.array([[1, 0, 1, 1, 1], [1, 1, 1, 0, 1]], np.int32), NONE, NONE,
      NONE, NONE, NONE, NONE, f4(48)]),
    ("TransposeMatMul", {"transA": 1, "alpha": 0.5}, [f4(2, 4, 3), f4(4, 5)]),
    ("Trilu", {"upper": 0}, [f4(2, 3, 4), np.array(1)]),
    ("Pad", {"mode": "edge"}, [f4(2, 3), np.array([1, 0, 0, 2])]),
    ("Range", {}, [np.array(1, np.float32), np.array(7, np.float32), np.array(1.5, np.float32)]),
    ("Unique", {}, [f4(3)[[2, 0, 2, 1, 0]]]),
    ("GatherND", {}, [f4(2, 3, 4), np.array([[1, 2], [0, 1]])]),
    ("GridSample", {"mode": "bicubic", "padding_mode": "border"}, [f4(1, 2, 4, 5), np.tanh(f4(1, 3, 2, 2))]),
    ("CausalConvWithState", {"activation": "silu"}, [f4(2, 3, 5), f4(3, 1, 4), f4(3), f4(2, 3, 3)]),
    ("LinearAttention", {"q_num_heads": 2, "kv_num_heads": 2, "update_rule": "linear"},
     [f4(1, 3, 8), f4(1, 3, 8), f4(1, 3, 8)]),
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




def first(x):
    return x.permute(0, 3, 1, 2)


def last(x):
    return x.permute(0, 2, 3, 1)


def groups(x, gamma, beta, n):
    return last(F.group_norm(first(x), n, gamma, beta, 1e-5))


def dequantised(x, s, z):
    return (x.double() - z.double()) * s


def one_step(q, k, v, bias, past_k, past_v):
    """A query of two heads on its cache and its own key."""
    q, k, v = [x.reshape(2, 1, 2, 8).transpose(1, 2) for x in (q, k, v)]
    scores = q @ torch.cat([past_k, k], 2).transpose(2, 3) * 0.4 + bias
    return (torch.softmax(scores, 3) @ torch.cat([past_v, v], 2)).transpose(1, 2).reshape(2, 1, 16)


# operator, attributes, inputs, what it gives
FORMULAS = [
    ("NhwcConv", {"strides": [2, 1], "pads": [1, 0, 0, 1]}, [f4(1, 4, 5, 2), f4(3, 2, 2, 2), f4(3)],
     lambda x, w, b: last(F.conv2d(F.pad(first(x), (0, 1, 1, 0)), first(w), b, (2, 1)))),
    ("NhwcFusedConv", {"activation": "Relu", "pads": [1, 1, 1, 1], "group": 2}, [f4(1, 4, 5, 4), f4(6, 2, 3, 3), f4(6)],
     lambda x, w, b: last(F.relu(F.conv2d(first(x), w, b, padding=1, groups=2)))),
    ("NhwcFusedConv", {"activation": "LeakyRelu", "activation_params": [0.3]},
     [f4(1, 4, 5, 2), f4(3, 2, 2, 2), NONE, f4(1, 3, 4, 3)],
     lambda x, w, z: F.leaky_relu(last(F.conv2d(first(x), w)) + z, 0.3)),
    ("GroupNorm", {"groups": 2, "activation": 1}, [f4(2, 3, 3, 4), f4(4), f4(4)],
     lambda x, g, b: F.silu(groups(x, g, b, 2))),
    ("GroupNorm", {"groups": 4, "activation": 0}, [f4(2, 3, 2, 8), f4(8), f4(8)], lambda x, g, b: groups(x, g, b, 4)),
    ("GroupNorm", {"groups": 2, "activation": 0, "channels_last": 0}, [f4(2, 4, 3, 3), f4(4), f4(4)],
     lambda x, g, b: F.group_norm(x, 2, g, b, 1e-5)),
    ("GroupNorm", {"groups": 2, "activation": 1, "channels_last": 0}, [f4(2, 4, 3, 3), f4(4), f4(4)],
     lambda x, g, b: F.silu(F.group_norm(x, 2, g, b, 1e-5))),
    ("SkipGroupNorm", {"groups": 2, "activation": 0}, [f4(2, 3, 3, 4), f4(4), f4(4), f4(2, 3, 3, 4), f4(4)],
     lambda x, g, b, k, c: groups(x + k + c, g, b, 2)),
    ("SkipGroupNorm", {"groups": 2, "activation": 1}, [f4(2, 3, 3, 4), f4(4), f4(4), f4(2, 1, 1, 4)],
     lambda x, g, b, k: F.silu(groups(x + k, g, b, 2))),
    ("DecoderMaskedMultiHeadAttention", {"num_heads": 2, "scale": 0.4},
     [f4(2, 1, 16), f4(2, 1, 16), f4(2, 1, 16), NONE, f4(1, 2, 1, 5), f4(2, 2, 4, 8), f4(2, 2, 4, 8)], one_step),
    ("BiasAdd", {}, [f4(1, 3, 4), f4(4), f4(1, 3, 4)], lambda x, b, k: x + b + k),
    ("BiasSoftmax", {"axis": 2, "is_inner_broadcast": 0}, [f4(2, 3, 4), f4(3, 4)],
     lambda x, b: torch.softmax(x + b, 2)),
    ("BiasSplitGelu", {}, [f4(1, 3, 8), f4(8)], lambda x, b: (x + b)[..., :4] * F.gelu((x + b)[..., 4:])),
    ("BiasDropout", {}, [f4(1, 3, 4), f4(4), f4(1, 3, 4)], lambda x, b, k: x + b + k),
    ("BiasDropout", {}, [f4(1, 3, 4), f4(4)], lambda x, b: x + b),
    ("GemmFastGelu", {}, [f4(2, 3), f4(3, 4), f4(4)], lambda x, w, b: F.gelu(x @ w + b, approximate="tanh")),
    ("QLinearReduceMean", {"axes": [1], "keepdims": 1}, [A, S, zero(120), Y, zero(128)],
     lambda x, s, z, t, u: torch.clamp(torch.round(dequantised(x, s, z).mean(1, keepdim=True) / t) + u, 0, 255)),
]


def model(op, attributes, values):
    names = ["x%d" % i if v is not None else "" for i, v in enumerate(values)]
    stored = [numpy_helper.from_array(np.asarray(v), n) for v, n in zip(values, names) if v is not None]
    # without a present, ONNX Runtime's does not read the past; of others it wants all
    past = {"Attention": 4, "QAttention": 8, "MultiHeadAttention": 6}.get(op)
    presents = 3 if op == "MultiHeadAttention" else 2
    outputs = ["y", "k", "v"][:presents if past and len(values) > past and values[past] is not None
                              else OUTPUTS.get(op, 1)]
    op, _, other = op.partition(" ")            # "qk": not the result, but the scores in output 3
    result = onnx.ValueInfoProto(name="y")
    if other:                                   # whose type ONNX Runtime does not infer
        outputs = ["first", "", "", "y"]
        result = helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)
    node = helper.make_node(op, names, outputs, domain="com.microsoft", **attributes)
    graph = helper.make_graph([node], "one", [], [result], stored)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    made = helper.make_model(graph, opset_imports=opsets)
    made.ir_version = 8
    return made


def said(bin_dir, work, path):
    out = peers.fresh(os.path.join(work, "ours"))
    peers.run([os.path.join(bin_dir, "onnx-run"), path, "--output", out])
    return np.load(os.path.join(out, "y.npy"))


def titled(op, attributes, values):
    return "%s %s (%s)" % (op, json.dumps(attributes), " ".join(
        "-" if v is None else "%s%s" % (v.dtype, list(v.shape)) for v in values))


def gap(have, want):
    return float(np.abs(have.astype(float) - want).max()) if list(have.shape) == list(want.shape) else np.inf


def written(bin_dir, work):
    path = os.path.join(work, "one.onnx")
    for op, attributes, values, formula in FORMULAS:
        onnx.save(model(op, attributes, values), path)
        try:
            have = said(bin_dir, work, path)
        except peers.Fault as fault:
            peers.say(False, "%s: %s" % (titled(op, attributes, values), fault))
            continue
        want = formula(*[torch.tensor(v) for v in values if v is not None]).numpy()
        off = gap(have, want.astype(float))
        peers.say(off <= (1 if have.dtype.kind in "iu" else 1e-5),
                  "%s beside PyTorch: %g" % (titled(op, attributes, values), off))


def beside(nodes, bin_dir, work):
    jobs = []
    for k, (op, attributes, values) in enumerate(nodes):
        path = os.path.join(work, "%d.onnx" % k)
        onnx.save(model(op, attributes, values), path)
        jobs.append(path)
    for (op, attributes, values), path, reply in zip(nodes, jobs, cases.theirs(jobs)):
        title = titled(op, attributes, values)
        try:
            if "fault" in reply:
                raise peers.Fault("ONNX Runtime: " + reply["fault"][:300])
            have = said(bin_dir, work, path)
        except peers.Fault as fault:
            peers.say(False, "%s: %s" % (title, fault))
            continue
        want = np.array([float(v) for v in reply["outputs"][0]["data"]]).reshape(reply["outputs"][0]["dims"])
        # a whole number may fall to the other side of a half
        whole = have.dtype.kind in "iu"
        off = gap(have, want)
        peers.say(off <= (1 if whole else FAR.get(op, 1e-4)), "%s beside ONNX Runtime: %g" % (title, off))


def main():
    bin_dir, work, _ = sys.argv[1:4]
    peers.fresh(work)
    beside(NODES, bin_dir, work)
    written(bin_dir, work)


if __name__ == "__main__":
    main()
