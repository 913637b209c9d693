"""The cases of gradients.py: a node, its inputs, and what PyTorch computes.

Attributes are numbers that float32 holds exactly; defaults that it does not hold are given to PyTorch as ONNX has
them.  Inputs that are float32 arrays get a gradient unless `fixed` names their index.
"""
import math

import numpy as np
import torch
from torch.nn import functional as F

rng = np.random.default_rng(5)
CASES = []


class Case:
    def __init__(self, op, opset, reference, inputs, note, domain, fixed, bn, around,
                 attributes):
        self.op, self.opset, self.reference, self.inputs, self.note = op, opset, reference, inputs, note
        self.domain, self.fixed, self.bn, self.attributes = domain, fixed, bn, attributes
        self.around = around            # the last so many inputs are not the node's: its bodies read them

    def __str__(self):
        said = ", ".join("%s=%s" % (k, v if np.size(v) < 8 else "...") for k, v in self.attributes.items()
                         if not hasattr(v, "node"))
        shapes = " ".join("x".join(map(str, a.shape)) or "s" if a is not None else "-" for a in self.inputs)
        return "%s-%d (%s)%s%s" % (self.op, self.opset, shapes, " " + said if said else "",
                                   ", " + self.note if self.note else "")


def case(op, opset, reference, *inputs, note="", domain="", fixed=(), bn="frozen", around=0, **attributes):
    CASES.append(Case(op, opset, reference, list(inputs), note, domain, fixed, bn, around, attributes))


def real(*shape, lo=-2.0, hi=2.0, off=()):
    """Uniform in [lo, hi], further than 0.05 from each number of `off`."""
    x = rng.uniform(lo, hi, shape)
    for kink in off:
        near = np.abs(x - kink) < 0.05
        x = np.where(near, x + np.where(x < kink, -0.1, 0.1), x)
    return x.astype(np.float32)


def positive(*shape):
    return real(*shape, lo=0.5, hi=2.0)


def distinct(*shape):
    """No two within 0.05 of each other, in random order."""
    n = math.prod(shape)
    return (0.1 * (rng.permutation(n) - n / 2) + 0.013).reshape(shape).astype(np.float32)


def ints(*values):
    return np.array(values, np.int64)


def one(value):
    return np.array(value, np.float32)


def single(value):
    """The nearest float32 number."""
    return float(np.float32(value))


# Element by element.
def unary():
    t = torch
    table = [
        ("Abs", 13, t.abs, {"off": (0,)}), ("Acos", 7, t.acos, {"lo": -0.9, "hi": 0.9}),
        ("Acosh", 9, t.acosh, {"lo": 1.2, "hi": 3.0}), ("Asin", 7, t.asin, {"lo": -0.9, "hi": 0.9}),
        ("Asinh", 9, t.asinh, {}), ("Atan", 7, t.atan, {}), ("Atanh", 9, t.atanh, {"lo": -0.9, "hi": 0.9}),
        ("Cos", 7, t.cos, {}), ("Cosh", 9, t.cosh, {}), ("Erf", 13, t.erf, {}), ("Exp", 13, t.exp, {}),
        ("Log", 13, t.log, {"lo": 0.5}), ("Neg", 13, t.neg, {}), ("Reciprocal", 13, t.reciprocal, {"lo": 0.5}),
        ("Relu", 14, t.relu, {"off": (0,)}), ("Sigmoid", 13, t.sigmoid, {}), ("Sin", 7, t.sin, {}),
        ("Sinh", 9, t.sinh, {}), ("Softplus", 1, F.softplus, {}), ("Softsign", 1, F.softsign, {}),
        ("Sqrt", 13, t.sqrt, {"lo": 0.5}), ("Tan", 7, t.tan, {"lo": -1.2, "hi": 1.2}), ("Tanh", 13, t.tanh, {}),
        ("Identity", 16, lambda x: x * 1, {}), ("Mish", 18, F.mish, {}), ("Elu", 6, F.elu, {"off": (0,)}),
        ("Celu", 12, t.celu, {"off": (0,)}),
        ("LeakyRelu", 16, F.leaky_relu, {"off": (0,)}), ("Gelu", 20, F.gelu, {}),
        ("HardSwish", 14, F.hardswish, {"lo": -4, "hi": 4, "off": (-3, 3)}),
    ]
    for op, opset, reference, how in table:
        case(op, opset, reference, real(3, 5, **how))
    case("Elu", 6, lambda x: F.elu(x, 0.5), real(3, 5, off=(0,)), alpha=0.5)
    case("Selu", 6, lambda x: single(1.0507009873554805) * F.elu(x, single(1.6732632423543772)),
         real(3, 5, off=(0,)), note="the defaults are float32 numbers")
    case("Selu", 6, lambda x: 1.5 * F.elu(x, 0.5), real(3, 5, off=(0,)), alpha=0.5, gamma=1.5)
    case("Celu", 12, lambda x: F.celu(x, 2.0), real(3, 5, off=(0,)), alpha=2.0)
    case("LeakyRelu", 16, lambda x: F.leaky_relu(x, 0.25), real(3, 5, off=(0,)), alpha=0.25)
    case("LeakyRelu", 16, lambda x: F.leaky_relu(x, -0.5), real(3, 5, off=(0,)), alpha=-0.5)
    case("Gelu", 20, lambda x: F.gelu(x, approximate="tanh"), real(3, 5), approximate="tanh")
    case("HardSigmoid", 6, lambda x: (0.25 * x + 0.5).clamp(0, 1), real(4, 5, lo=-4, hi=4, off=(-2, 2)),
         alpha=0.25, beta=0.5)
    case("ThresholdedRelu", 10, lambda x: F.threshold(x, 0.5, 0.0), real(3, 5, off=(0.5,)), alpha=0.5)
    case("Shrink", 9, lambda x: F.softshrink(x, 0.5), real(4, 5, off=(-0.5, 0.5)), lambd=0.5, bias=0.5)
    case("Shrink", 9, lambda x: F.hardshrink(x, 0.5), real(4, 5, off=(-0.5, 0.5)), lambd=0.5)
    case("Swish", 24, lambda x: x * torch.sigmoid(0.5 * x), real(3, 5), alpha=0.5)
    case("Clip", 6, lambda x: x.clamp(-0.5, 1.0), real(4, 5, off=(-0.5, 1)), min=-0.5, max=1.0)
    case("Clip", 13, lambda x, lo, hi: x.clamp(-0.5, 1.0), real(4, 5, off=(-0.5, 1)), one(-0.5), one(1),
         fixed=(1, 2))
    case("Clip", 13, lambda x, lo, hi: x.clamp(max=1.0), real(4, 5, off=(1,)), None, one(1), fixed=(2,))
    case("Dropout", 13, lambda x, r: x * 1, real(3, 4), one(0), fixed=(1,))
    case("Cast", 13, lambda x: x * 1, real(3, 4), to=1)
    for op, function in (("Gelu", F.gelu), ("FastGelu", lambda x: F.gelu(x, approximate="tanh"))):
        case(op, 1, function, real(3, 4), domain="com.microsoft")
    case("FastGelu", 1, lambda x, b: F.gelu(x + b, approximate="tanh"), real(3, 4), real(4), domain="com.microsoft")
    case("BiasGelu", 1, lambda x, b: F.gelu(x + b), real(3, 4), real(4), domain="com.microsoft")
    case("QuickGelu", 1, lambda x: x * torch.sigmoid(1.5 * x), real(3, 4), domain="com.microsoft", alpha=1.5)


def binary():
    wide = ((3, 4), (3, 4)), ((2, 3, 4), (4,)), ((3, 1), (2, 1, 4)), ((2, 3), ())
    for op, opset, function, make in (("Add", 14, torch.add, real), ("Sub", 14, torch.sub, real),
                                      ("Mul", 14, torch.mul, real), ("Div", 14, torch.div, positive),
                                      ("Pow", 15, torch.pow, positive)):
        for a, b in wide:
            case(op, opset, function, make(*a), make(*b))
    case("Add", 6, lambda a, b: a + b.reshape(3, 1), real(2, 3, 4), real(3), broadcast=1, axis=1)
    case("Mod", 13, torch.fmod, positive(3, 4) + one(2), one(0.75) + np.zeros((3, 4), np.float32), fmod=1,
         fixed=(1,))
    case("Mod", 28, torch.remainder, -positive(3, 4) - one(2), one(0.75) + np.zeros((3, 4), np.float32))
    case("Mod", 28, torch.fmod, -positive(3, 4) - one(2), one(0.75) + np.zeros((3, 4), np.float32), fmod=1)
    case("PRelu", 16, lambda x, s: torch.where(x < 0, s * x, x), real(2, 3, 4, off=(0,)), real(3, 1))
    case("PRelu", 16, lambda x, s: torch.where(x < 0, s * x, x), real(2, 3, off=(0,)), real(1))
    a, b, c = np.split(distinct(3, 2, 4), 3)
    for op, function in (("Max", torch.maximum), ("Min", torch.minimum)):
        case(op, 13, lambda x, y, z, f=function: f(f(x, y), z), a, b, c)
        case(op, 13, function, distinct(3, 4), distinct(2, 1, 4) + one(0.033))
    case("Sum", 13, lambda x, y, z: x + y + z, real(2, 3), real(3), real(2, 1))
    case("Mean", 13, lambda x, y, z: (x + y + z) / 3, real(2, 3), real(3), real(2, 1))
    case("Where", 16, torch.where, rng.random((2, 3)) < 0.5, real(4, 2, 3), real(2, 1))


def reductions():
    table = [("ReduceSum", torch.sum), ("ReduceMean", torch.mean), ("ReduceMax", torch.amax),
             ("ReduceMin", torch.amin), ("ReduceProd", None),
             ("ReduceL1", lambda x, d, keepdim: x.abs().sum(d, keepdim)),
             ("ReduceL2", lambda x, d, keepdim: torch.linalg.vector_norm(x, 2, d, keepdim)),
             ("ReduceLogSum", lambda x, d, keepdim: x.sum(d, keepdim).log()),
             ("ReduceLogSumExp", torch.logsumexp),
             ("ReduceSumSquare", lambda x, d, keepdim: x.square().sum(d, keepdim))]
    for op, function in table:
        x = distinct(2, 3, 4) if "M" in op else positive(2, 3, 4)
        if function is None:
            case(op, 13, lambda x: x.prod(1), x, axes=[1], keepdims=0)
            case(op, 13, lambda x: x.prod(1, True).prod(2, True), x, axes=[-2, 2])
            continue
        case(op, 18, lambda x, a, f=function: f(x, (0, 2), keepdim=True), x, ints(0, -1))
        case(op, 11, lambda x, f=function: f(x, (1,), keepdim=False), x, axes=[1], keepdims=0)
        case(op, 18, lambda x, f=function: f(x, (0, 1, 2), keepdim=False), x, keepdims=0)
    for op, function in (("Softmax", torch.softmax), ("LogSoftmax", torch.log_softmax)):
        for axis in (-1, 1, 0):
            case(op, 13, lambda x, f=function, a=axis: f(x, a), real(2, 3, 4), axis=axis)
        case(op, 11, lambda x, f=function: f(x.flatten(1), 1).reshape(x.shape), real(2, 3, 4), axis=1)
    for exclusive in (0, 1):
        for reverse in (0, 1):
            def cumsum(x, axis, e=exclusive, r=reverse):
                y = x.flip(1) if r else x
                y = y.cumsum(1) - (y if e else 0)
                return y.flip(1) if r else y
            case("CumSum", 14, cumsum, real(2, 4), np.array(1, np.int64), exclusive=exclusive, reverse=reverse)
    case("LpNormalization", 1, lambda x: x / x.norm(2, 1, True), real(2, 3, 4), axis=1, p=2)
    case("LpNormalization", 1, lambda x: x / x.abs().sum(-1, True), real(2, 3, off=(0,)), axis=-1, p=1)
    case("TopK", 11, lambda x, k: x.topk(2, 1)[0], distinct(3, 5), ints(2), axis=1)
    case("TopK", 11, lambda x, k: x.topk(3, 0, largest=False)[0], distinct(5, 3), ints(3), axis=0, largest=0)
    case("Det", 11, torch.det, real(2, 3, 3))
    case("CumProd", 26, lambda x, a: x.cumprod(1), positive(2, 4), np.array(1, np.int64))


def movement():
    x = real(2, 3, 4)
    case("Reshape", 14, lambda x, s: x.reshape(4, 6), x, ints(4, -1))
    case("Flatten", 13, lambda x: x.reshape(6, 4), x, axis=2)
    case("Transpose", 13, lambda x: x.permute(2, 0, 1), x, perm=[2, 0, 1])
    case("Squeeze", 13, lambda x, a: x.squeeze(1), real(2, 1, 3), ints(1))
    case("Unsqueeze", 13, lambda x, a: x[:, None, :, None], real(2, 3), ints(1, -1))
    case("Expand", 13, lambda x, s: x.expand(2, 3, 4), real(3, 1), ints(2, 3, 4))
    case("Tile", 13, lambda x, r: x.repeat(2, 3), real(2, 3), ints(2, 3))
    case("Concat", 13, lambda a, b, c: torch.cat((a, b, c), 1), real(2, 1, 3), real(2, 3, 3), real(2, 2, 3), axis=1)
    case("Split", 13, lambda x, s: x.split((1, 2, 3), 1), real(2, 6), ints(1, 2, 3), axis=1)
    case("Slice", 13, lambda x, s, e, a, t: x[:, 1:3, ::2], real(2, 4, 5), ints(1, 0), ints(3, 9), ints(1, 2),
         ints(1, 2))
    case("Slice", 13, lambda x, s, e, a, t: x.flip(1)[:, ::2], real(2, 5), ints(-1), ints(-99), ints(1), ints(-2))
    for mode, names in (("constant", "constant"), ("reflect", "reflect"), ("edge", "replicate")):
        def pad(x, pads, n=names):
            return F.pad(x, (1, 2, 2, 0), n)
        case("Pad", 13, pad, real(1, 2, 4, 5), ints(0, 0, 2, 1, 0, 0, 0, 2), mode=mode)
    case("Pad", 19, lambda x, p: F.pad(x, (1, 2, 2, 0), "circular"), real(1, 2, 4, 5), ints(0, 0, 2, 1, 0, 0, 0, 2),
         mode="wrap")
    case("Pad", 13, lambda x, p, v: torch.cat((v.expand(2, 1), x, v.expand(2, 2)), 1), real(2, 4), ints(0, 1, 0, 2),
         one(0.5))
    case("Pad", 13, lambda x, p: F.pad(x, (-1, 2)), real(2, 4), ints(0, -1, 0, 2))
    case("DepthToSpace", 13, lambda x: F.pixel_shuffle(x, 2), real(1, 8, 2, 3), blocksize=2, mode="CRD")
    case("DepthToSpace", 13, lambda x: x.reshape(1, 2, 2, 2, 2, 3).permute(0, 3, 4, 1, 5, 2).reshape(1, 2, 4, 6),
         real(1, 8, 2, 3), blocksize=2, mode="DCR")
    case("SpaceToDepth", 13, lambda x: x.reshape(1, 2, 2, 2, 3, 2).permute(0, 3, 5, 1, 2, 4).reshape(1, 8, 2, 3),
         real(1, 2, 4, 6), blocksize=2)
    case("Trilu", 14, lambda x: x.triu(), real(2, 4, 5))
    case("Trilu", 14, lambda x, k: x.tril(-1), real(2, 4, 5), np.array(-1, np.int64), upper=0)
    case("ReverseSequence", 10, lambda x, n: torch.stack([torch.cat((x[:3, 0].flip(0), x[3:, 0])), x[:, 1].flip(0)], 1),
         real(4, 2, 3), ints(3, 4), time_axis=0, batch_axis=1)
    case("Compress", 11, lambda x, c: x[:, [0, 2]], real(2, 4), np.array([1, 0, 1], bool), axis=1)
    case("CenterCropPad", 18, lambda x, s: F.pad(x[1:3], (1, 1)), real(4, 3), ints(2, 5))
    case("Col2Im", 18, lambda x, i, b: F.fold(x, (4, 5), (2, 3)), real(1, 12, 9), ints(4, 5), ints(2, 3))
    case("Col2Im", 18, lambda x, i, b: F.fold(x, (5, 5), (3, 3), padding=1, stride=2), real(2, 18, 9), ints(5, 5),
         ints(3, 3), pads=[1, 1, 1, 1], strides=[2, 2])


def indexing():
    pick = np.array([[2, 0], [1, 2]], np.int64)
    case("Gather", 13, lambda x, i: x[i], real(3, 4), pick)
    case("Gather", 13, lambda x, i: x[:, i], real(2, 3, 2), pick, axis=1)
    case("Gather", 13, lambda x, i: x[:, 2], real(2, 3, 2), np.array(-1, np.int64), axis=1)
    where = np.array([[0, 2, 1], [1, 1, 0]], np.int64)
    case("GatherElements", 13, lambda x, i: x.gather(0, i), real(3, 3), where)
    case("GatherElements", 13, lambda x, i: x.gather(1, i), real(2, 4), where, axis=1)
    at = np.array([[0, 1], [2, 2], [0, 1]], np.int64)
    case("GatherND", 13, lambda x, i: x[i[:, 0], i[:, 1]], real(3, 3, 2), at)
    case("GatherND", 13, lambda x, i: torch.stack((x[0, 1], x[1, 0])), real(2, 3, 2), ints(1, 0).reshape(2, 1),
         batch_dims=1)
    once = np.array([[0, 2, 1], [1, 0, 2]], np.int64)
    case("ScatterElements", 18, lambda x, i, u: x.scatter(0, i, u), real(3, 3), once, real(2, 3))
    case("ScatterElements", 18, lambda x, i, u: x.scatter(1, i, u), real(2, 4), once, real(2, 3), axis=1)
    case("ScatterElements", 18, lambda x, i, u: x.scatter_add(1, i, u), real(2, 4), where, real(2, 3), axis=1,
         reduction="add")
    case("ScatterElements", 18, lambda x, i, u: x.scatter_reduce(1, i, u, "prod"), positive(2, 4), where,
         positive(2, 3), axis=1, reduction="mul")
    x, u = np.split(distinct(4, 4), 2)
    case("ScatterElements", 18, lambda x, i, u: x.scatter_reduce(1, i, u, "amax"), x, where, u[:, :3].copy(), axis=1,
         reduction="max")
    case("ScatterElements", 18, lambda x, i, u: x.scatter_reduce(1, i, u, "amin"), x, where, u[:, :3].copy(), axis=1,
         reduction="min")
    spots = np.array([[0, 1], [2, 2]], np.int64)
    case("ScatterND", 18, lambda x, i, u: x.index_put((i[:, 0], i[:, 1]), u), real(3, 3, 2), spots, real(2, 2))
    case("ScatterND", 18, lambda x, i, u: x.index_put((i[:, 0], i[:, 1]), u, accumulate=True), real(3, 3, 2), at,
         real(3, 2), reduction="add")
    case("Scatter", 9, lambda x, i, u: x.scatter(0, i, u), real(3, 3), once, real(2, 3))
    case("OneHot", 11, lambda i, d, v: torch.where(F.one_hot(i, 4) > 0, v[1], v[0]), ints(1, 3, 0),
         np.array(4, np.int64), real(2))


def products():
    for a, b in (((3, 4), (4, 5)), ((2, 3, 4), (4, 5)), ((2, 1, 3, 4), (3, 4, 2)), ((4,), (2, 4, 3)), ((2, 3, 4), (4,)),
                 ((4,), (4,))):
        case("MatMul", 13, torch.matmul, real(*a), real(*b))
    case("Gemm", 13, lambda a, b, c: a @ b + c, real(3, 4), real(4, 5), real(5))
    case("Gemm", 13, lambda a, b, c: 0.5 * a.T @ b.T + 0.25 * c, real(4, 3), real(5, 4), real(3, 1), alpha=0.5,
         beta=0.25, transA=1, transB=1)
    case("Gemm", 13, lambda a, b: a @ b.T, real(3, 4), real(5, 4), transB=1)
    case("FusedGemm", 1, lambda a, b, c: torch.tanh(a @ b + c), real(3, 4), real(4, 5), real(5), activation="Tanh",
         domain="com.microsoft")
    case("FusedMatMul", 1, lambda a, b: 0.5 * a.transpose(1, 2) @ b, real(2, 4, 3), real(2, 4, 5), alpha=0.5, transA=1,
         domain="com.microsoft")
    for text, shapes in (("ij,jk->ik", ((3, 4), (4, 2))), ("bij,bkj->bik", ((2, 3, 4), (2, 5, 4))),
                         ("i,j->ij", ((3,), (4,))), ("ii->i", ((3, 3),)), ("ij->ji", ((3, 4),)), ("ij->", ((3, 4),)),
                         ("ij,jk,kl->il", ((2, 3), (3, 4), (4, 2))), ("...ij,...jk->...ik", ((2, 2, 3), (2, 3, 4)))):
        case("Einsum", 12, lambda *a, t=text: torch.einsum(t, *a), *[real(*s) for s in shapes], equation=text)


def first(x):
    return x.permute(0, 3, 1, 2)


def last(x):
    return x.permute(0, 2, 3, 1)


def written_out():
    """Operators of com.microsoft that are others put together."""
    def add(op, reference, *inputs, **attributes):
        case(op, 1, reference, *inputs, domain="com.microsoft", **attributes)
    add("Inverse", torch.linalg.inv, real(2, 3, 3) + 5 * np.eye(3, dtype=np.float32))
    add("FusedMatMul", lambda a, b: a.permute(1, 0, 2) @ b.permute(1, 2, 0), real(2, 3, 4), real(5, 3, 4), transBatchA=1,
        transBatchB=1, transB=1)
    add("NhwcConv", lambda x, w, b: last(F.conv2d(first(x), first(w), b, 2)), real(2, 4, 5, 3), real(4, 2, 2, 3), real(4),
        strides=[2, 2])
    add("NhwcFusedConv", lambda x, w, b, z: torch.tanh(last(F.conv2d(first(x), w, b)) + z), real(2, 4, 5, 3),
        real(4, 3, 2, 2), real(4), real(2, 3, 4, 4), activation="Tanh")
    add("GroupNorm", lambda x, g, b: last(F.silu(F.group_norm(first(x), 2, g, b, 1e-5))), real(2, 3, 2, 4), real(4), real(4),
        groups=2, activation=1)
    add("SkipGroupNorm", lambda x, g, b, k, c: last(F.group_norm(first(x + k + c), 2, g, b, 1e-5)), real(2, 3, 2, 4), real(4),
        real(4), real(2, 3, 2, 4), real(4), groups=2, activation=0)
    add("BiasSplitGelu", lambda x, b: (x + b)[..., :4] * F.gelu((x + b)[..., 4:]), real(2, 3, 8), real(8))
    add("BiasSoftmax", lambda x, b: torch.softmax(x + b, -1), real(2, 3, 4), real(3, 4), axis=2, is_inner_broadcast=0)
    add("MultiHeadAttention", across, real(2, 3, 8), real(2, 2, 5, 4), real(2, 2, 5, 4), real(24), num_heads=2)


def across(q, k, v, bias):
    """Two heads on the keys and values of an encoder: the query alone has a bias."""
    heads = (q + bias[:8]).reshape(2, 3, 2, 4).transpose(1, 2)
    return (torch.softmax(heads @ k.transpose(2, 3) / 2, -1) @ v).transpose(1, 2).reshape(2, 3, 8) + 0 * bias.sum()


for family in (unary, binary, reductions, movement, indexing, products, written_out):
    family()
