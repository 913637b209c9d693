"""The cases of gradients.py: a node, its inputs, and what PyTorch computes.

Attributes are numbers that float32 holds exactly; defaults that it does not hold are given to PyTorch as ONNX has
them.  Inputs that are float32 arrays get a gradient unless `fixed` names their index.
"""
import math

import numpy as np
import torch
from torch.nn import functional as F
import torchvision

rng = np.random.default_rng(5)
CASES = []


class Case:
    def __init__(self, op, opset, reference, inputs, note, domain, fixed, bn, attributes):
        self.op, self.opset, self.reference, self.inputs, self.note = op, opset, reference, inputs, note
        self.domain, self.fixed, self.bn, self.attributes = domain, fixed, bn, attributes

    def __str__(self):
        said = ", ".join("%s=%s" % (k, v if np.size(v) < 8 else "...") for k, v in self.attributes.items())
        shapes = " ".join("x".join(map(str, a.shape)) or "s" if a is not None else "-" for a in self.inputs)
        return "%s-%d (%s)%s%s" % (self.op, self.opset, shapes, " " + said if said else "",
                                   ", " + self.note if self.note else "")


def case(op, opset, reference, *inputs, note="", domain="", fixed=(), bn="frozen", **attributes):
    CASES.append(Case(op, opset, reference, list(inputs), note, domain, fixed, bn, attributes))


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


def nth(function, k):
    return lambda *a: function(*a)[k]


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
             ("ReduceMin", torch.amin), ("ReduceProd", None), ("ReduceL1", lambda x, d, keepdim: x.abs().sum(d, keepdim)),
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


def convolutions():
    c1, c2, c3 = F.conv1d, F.conv2d, F.conv3d
    case("Conv", 11, lambda x, w, b: c2(x, w, b, padding=1), real(2, 3, 5, 6), real(4, 3, 3, 3), real(4),
         pads=[1, 1, 1, 1])
    case("Conv", 11, lambda x, w: c2(x, w, stride=(2, 1), dilation=(1, 2)), real(2, 3, 6, 7), real(4, 3, 3, 2),
         strides=[2, 1], dilations=[1, 2])
    case("Conv", 11, lambda x, w, b: c2(x, w, b, padding=1, groups=2, stride=2), real(2, 4, 5, 5), real(6, 2, 3, 3),
         real(6), pads=[1, 1, 1, 1], group=2, strides=[2, 2])
    case("Conv", 11, lambda x, w, b: c2(x, w, b, padding=1, groups=4), real(2, 4, 5, 5), real(4, 1, 3, 3), real(4),
         pads=[1, 1, 1, 1], group=4)
    case("Conv", 11, lambda x, w: c2(F.pad(x, (2, 0, 1, 0)), w), real(1, 2, 4, 5), real(3, 2, 3, 3), pads=[1, 2, 0, 0])
    case("Conv", 11, lambda x, w: c2(F.pad(x, (0, 1, 0, 1)), w, stride=2), real(1, 2, 4, 6), real(3, 2, 3, 3),
         auto_pad="SAME_UPPER", strides=[2, 2])
    case("Conv", 11, lambda x, w, b: c2(x, w, b), real(2, 3, 4, 4), real(5, 3, 1, 1), real(5))
    case("Conv", 11, lambda x, w, b: c1(x, w, b, stride=2, padding=2), real(2, 3, 9), real(4, 3, 4), real(4),
         strides=[2], pads=[2, 2])
    case("Conv", 11, lambda x, w, b: c3(x, w, b, padding=1), real(1, 2, 3, 4, 4), real(3, 2, 2, 3, 3), real(3),
         pads=[1, 1, 1, 1, 1, 1])
    case("FusedConv", 1, lambda x, w, b: torch.relu(c2(x, w, b, padding=1)), real(1, 2, 4, 4), real(3, 2, 3, 3), real(3),
         pads=[1, 1, 1, 1], activation="Relu", domain="com.microsoft")
    case("ConvTranspose", 11, lambda x, w, b: F.conv_transpose2d(x, w, b, stride=2, padding=1, output_padding=1),
         real(2, 3, 4, 4), real(3, 4, 3, 3), real(4), strides=[2, 2], pads=[1, 1, 1, 1], output_padding=[1, 1])
    case("ConvTranspose", 11, lambda x, w: F.conv_transpose2d(x, w, groups=2, dilation=2), real(1, 4, 3, 4),
         real(4, 3, 2, 2), group=2, dilations=[2, 2])
    case("ConvTranspose", 11, lambda x, w, b: F.conv_transpose1d(x, w, b, stride=3), real(2, 3, 4), real(3, 2, 4),
         real(2), strides=[3])
    case("ConvTranspose", 11, lambda x, w: F.conv_transpose3d(x, w, stride=2), real(1, 2, 2, 3, 2), real(2, 2, 2, 2, 2),
         strides=[2, 2, 2])
    offset, mask = real(1, 18, 4, 4, lo=-0.4, hi=0.4, off=(0,)), positive(1, 9, 4, 4)
    case("DeformConv", 19, lambda x, w, o, b: torchvision.ops.deform_conv2d(x, o, w, b, padding=1), real(1, 2, 4, 4),
         real(3, 2, 3, 3), offset, real(3), pads=[1, 1, 1, 1])
    case("DeformConv", 19, lambda x, w, o, b, m: torchvision.ops.deform_conv2d(x, o, w, b, padding=1, mask=m),
         real(1, 4, 4, 4), real(2, 2, 3, 3), offset, real(2), mask, pads=[1, 1, 1, 1], group=2)


def pools():
    x = distinct(1, 2, 6, 7)
    case("MaxPool", 12, lambda x: F.max_pool2d(x, 2, 2), x, kernel_shape=[2, 2], strides=[2, 2])
    case("MaxPool", 12, lambda x: F.max_pool2d(x, 3, 2, 1), x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    case("MaxPool", 12, lambda x: F.max_pool2d(x, 3, 2, 0, ceil_mode=True), x, kernel_shape=[3, 3], strides=[2, 2],
         ceil_mode=1)
    case("MaxPool", 12, lambda x: F.max_pool2d(x, 2, 1, 0, 2), x, kernel_shape=[2, 2], dilations=[2, 2])
    case("MaxPool", 12, lambda x: F.max_pool1d(x, 3, 2), distinct(2, 2, 9), kernel_shape=[3], strides=[2])
    case("MaxPool", 12, lambda x: F.max_pool3d(x, 2, 1), distinct(1, 2, 3, 4, 3), kernel_shape=[2, 2, 2])
    x = real(1, 2, 6, 7)
    case("AveragePool", 11, lambda x: F.avg_pool2d(x, 2, 2), x, kernel_shape=[2, 2], strides=[2, 2])
    case("AveragePool", 11, lambda x: F.avg_pool2d(x, 3, 2, 1, count_include_pad=False), x, kernel_shape=[3, 3],
         strides=[2, 2], pads=[1, 1, 1, 1])
    case("AveragePool", 11, lambda x: F.avg_pool2d(x, 3, 2, 1), x, kernel_shape=[3, 3], strides=[2, 2],
         pads=[1, 1, 1, 1], count_include_pad=1)
    case("AveragePool", 19, lambda x: F.avg_pool2d(x, 3, 2, 0, ceil_mode=True), x, kernel_shape=[3, 3], strides=[2, 2],
         ceil_mode=1)
    case("AveragePool", 11, lambda x: F.avg_pool3d(x, 2, 1), real(1, 2, 3, 4, 3), kernel_shape=[2, 2, 2])
    case("LpPool", 18, lambda x: F.lp_pool2d(x, 2, 2, 2), positive(1, 2, 6, 6), kernel_shape=[2, 2], strides=[2, 2], p=2)
    case("LpPool", 18, lambda x: F.lp_pool2d(x, 3, 3, 1), positive(1, 2, 5, 6), kernel_shape=[3, 3], p=3)
    case("GlobalAveragePool", 1, lambda x: x.mean((2, 3), True), x)
    case("GlobalMaxPool", 1, lambda x: x.amax((2, 3), True), distinct(2, 3, 4, 2))
    case("GlobalLpPool", 2, lambda x: x.abs().pow(3).sum((2, 3), True).pow(1 / 3), positive(2, 3, 4, 2), p=3)
    case("MaxUnpool", 11, lambda x, i: F.max_unpool2d(x, i, 2, 2), real(1, 1, 2, 2),
         np.array([[[[0, 3], [9, 15]]]], np.int64), kernel_shape=[2, 2], strides=[2, 2])
    rois = np.array([[0.5, 0.5, 4.5, 5.0], [1.0, 0.25, 5.5, 3.75]], np.float32)
    for mode, shift in (("half_pixel", True), ("output_half_pixel", False)):
        case("RoiAlign", 16, lambda x, r, b, a=shift: torchvision.ops.roi_align(
            x, torch.cat((b[:, None].to(x), r), 1), (2, 3), 0.5, 2, a), real(2, 2, 6, 6), rois, ints(0, 1), fixed=(1,),
            output_height=2, output_width=3, sampling_ratio=2, spatial_scale=0.5, coordinate_transformation_mode=mode)


def norms():
    eps = 2.0 ** -17
    x, scale, shift = real(3, 4, 2, 3), positive(4), real(4)
    mean, var = real(4), positive(4)
    case("BatchNormalization", 15, lambda x, s, b, m, v: F.batch_norm(x, m, v, s, b, False, 0.1, eps), x, scale, shift,
         mean, var, fixed=(3, 4), epsilon=eps)
    case("BatchNormalization", 15, lambda x, s, b, m, v: F.batch_norm(x, None, None, s, b, True, 0.1, eps), x, scale,
         shift, mean, var, fixed=(3, 4), epsilon=eps, bn="auto", note="training")
    case("InstanceNormalization", 6, lambda x, s, b: F.instance_norm(x, None, None, s, b, True, 0.1, eps), x, scale,
         shift, epsilon=eps)
    case("GroupNormalization", 21, lambda x, s, b: F.group_norm(x, 2, s, b, eps), x, scale, shift, num_groups=2,
         epsilon=eps)
    case("GroupNormalization", 18, lambda x, s, b: F.group_norm(x, 2, s.repeat_interleave(2), b.repeat_interleave(2),
                                                                eps), x, positive(2), real(2), num_groups=2, epsilon=eps)
    case("LayerNormalization", 17, lambda x, s, b: F.layer_norm(x, (3,), s, b, eps), x, positive(3), real(3),
         epsilon=eps)
    case("LayerNormalization", 17, lambda x, s: F.layer_norm(x, (4, 2, 3), s, None, eps), x, positive(4, 2, 3), axis=1,
         epsilon=eps)
    case("RMSNormalization", 23, lambda x, s: x * (x.square().mean(-1, True) + eps).rsqrt() * s, x, positive(3),
         epsilon=eps)
    case("LRN", 13, lambda x: F.local_response_norm(x, 3, 0.5, 0.75, 2.0), real(2, 6, 2, 3), size=3, alpha=0.5,
         beta=0.75, bias=2.0)
    case("MeanVarianceNormalization", 13, lambda x: (x - x.mean((0, 2, 3), True)) / (
        x.var((0, 2, 3), unbiased=False, keepdim=True).sqrt() + 1e-9), x)
    y = real(2, 3, 8)
    case("SkipLayerNormalization", 1, lambda x, k, g, b, c: F.layer_norm(x + k + c, (8,), g, b, eps), y, real(2, 3, 8),
         positive(8), real(8), real(8), epsilon=eps, domain="com.microsoft")
    case("SkipSimplifiedLayerNormalization", 1, lambda x, k, g: (x + k) * (
        (x + k).square().mean(-1, True) + eps).rsqrt() * g, y, real(2, 3, 8), positive(8), epsilon=eps,
        domain="com.microsoft")
    case("SimplifiedLayerNormalization", 1, lambda x, s: x * (x.square().mean(-1, True) + eps).rsqrt() * s, x,
         positive(3), epsilon=eps)


def losses():
    scores, target = real(4, 5), ints(1, 0, 4, 2)
    image, marks = real(2, 3, 2, 2), np.array([[[0, 2], [1, 1]], [[2, 0], [0, 1]]], np.int64)
    weight = positive(5)
    for reduction in ("mean", "sum", "none"):
        case("SoftmaxCrossEntropyLoss", 13, lambda x, t, r=reduction: F.cross_entropy(x, t, reduction=r), scores, target,
             reduction=reduction)
        case("SoftmaxCrossEntropyLoss", 13, lambda x, t, w, r=reduction: F.cross_entropy(x, t, w, reduction=r), scores,
             target, weight, reduction=reduction, fixed=(2,))
        case("NegativeLogLikelihoodLoss", 13, lambda x, t, w, r=reduction: F.nll_loss(x, t, w, reduction=r), scores,
             target, weight, reduction=reduction, fixed=(2,))
    case("SoftmaxCrossEntropyLoss", 13, lambda x, t: F.cross_entropy(x, t, ignore_index=1), image, marks, ignore_index=1)
    case("SoftmaxCrossEntropyLoss", 13, lambda x, t: (F.cross_entropy(x, t), F.log_softmax(x, 1)), scores, target,
         note="both outputs")
    case("NegativeLogLikelihoodLoss", 13, lambda x, t: F.nll_loss(x, t, ignore_index=1), image, marks, ignore_index=1)


def resampling():
    x = real(1, 2, 4, 5)
    scales = np.array([1, 1, 2, 2], np.float32)

    def resize(note, function, **attributes):
        case("Resize", 13, lambda x, r, s, f=function: f(x), x, None, scales, fixed=(2,), note=note, **attributes)
    resize("", lambda x: F.interpolate(x, scale_factor=2, mode="nearest"), mode="nearest",
           coordinate_transformation_mode="asymmetric", nearest_mode="floor")
    resize("", lambda x: F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False), mode="linear",
           coordinate_transformation_mode="half_pixel")
    resize("", lambda x: F.interpolate(x, scale_factor=2, mode="bicubic", align_corners=False), mode="cubic",
           coordinate_transformation_mode="half_pixel", cubic_coeff_a=-0.75)
    for mode, name in (("linear", "bilinear"), ("cubic", "bicubic")):
        case("Resize", 13, lambda x, r, s, z, n=name: F.interpolate(x, (7, 3), mode=n, align_corners=True), x, None, None,
             ints(1, 2, 7, 3), mode=mode, coordinate_transformation_mode="align_corners", cubic_coeff_a=-0.75)
    case("Resize", 18, lambda x, r, s, z: F.interpolate(x, (2, 3), mode="bilinear", align_corners=False, antialias=True),
         x, None, None, ints(1, 2, 2, 3), mode="linear", antialias=1, exclude_outside=1)
    case("Upsample", 9, lambda x, s: F.interpolate(x, scale_factor=2, mode="nearest"), x, scales, fixed=(1,),
         mode="nearest")
    grid = real(1, 3, 3, 2, lo=-1.2, hi=1.2)
    for mode, theirs in (("bilinear", "bilinear"), ("nearest", "nearest"), ("bicubic", "bicubic")):
        for padding in ("zeros", "border", "reflection"):
            for align in (0, 1):
                case("GridSample", 16, lambda x, g, m=theirs, p=padding, a=align: F.grid_sample(x, g, m, p, bool(a)), x,
                     grid, mode=mode, padding_mode=padding, align_corners=align)
    volume = real(1, 2, 2, 3, 2, 3, lo=-0.8, hi=0.8)[0]
    case("GridSample", 20, lambda x, g: F.grid_sample(x, g, "bilinear", "zeros", False), real(1, 2, 3, 4, 3),
         volume[:1].reshape(1, 2, 3, 2, 3), mode="linear")
    for align in (0, 1):
        case("AffineGrid", 20, lambda t, s, a=align: F.affine_grid(t, (2, 3, 4, 5), bool(a)), real(2, 2, 3),
             ints(2, 3, 4, 5), align_corners=align)
    case("AffineGrid", 20, lambda t, s: F.affine_grid(t, (1, 2, 3, 4, 2), False), real(1, 3, 4), ints(1, 2, 3, 4, 2))
    pair = real(2, 6, 2)
    case("DFT", 20, lambda x, n, a: torch.view_as_real(torch.fft.fft(torch.view_as_complex(x), dim=1)), pair, None,
         np.array(1, np.int64))
    case("DFT", 20, lambda x, n, a: torch.view_as_real(torch.fft.ifft(torch.view_as_complex(x), dim=1)), pair, None,
         np.array(1, np.int64), inverse=1)
    case("DFT", 20, lambda x, n, a: torch.view_as_real(torch.fft.rfft(x[..., 0], dim=1)), real(2, 7, 1), None,
         np.array(1, np.int64), onesided=1)
    case("DFT", 20, lambda x, n, a: torch.view_as_real(torch.fft.fft(torch.view_as_complex(x), 4, 1)), pair,
         np.array(4, np.int64), np.array(1, np.int64))
    case("STFT", 17, lambda x, h, w, n: torch.view_as_real(torch.stft(
        x[..., 0], 8, 3, 8, w, center=False, return_complex=True)).transpose(1, 2), real(2, 20, 1), np.array(3, np.int64),
        positive(8), np.array(8, np.int64))


def lstm_like(kind, order):
    """Weights of ONNX as a PyTorch module's: the gates in another order; then forward, or both ways."""
    def run(x, w, r, b, lens, h0, c0=None):
        ways, hidden = w.shape[0], r.shape[2]
        flat = []
        for d in range(ways):
            def turn(m):
                return torch.cat([m.reshape(len(order), hidden, -1)[g] for g in order]).squeeze(-1)
            flat += [turn(w[d]), turn(r[d])]
            flat += [turn(b[d, :len(order) * hidden, None]), turn(b[d, len(order) * hidden:, None])]
        both = ways == 2
        if kind == "LSTM":
            y, h, c = torch._VF.lstm(x, (h0, c0), flat, True, 1, 0.0, False, both, False)
            last = (h, c)
        else:
            y, h = {"GRU": torch._VF.gru, "RNN": torch._VF.rnn_tanh}[kind](x, h0, flat, True, 1, 0.0, False, both, False)
            last = (h,)
        return (y.reshape(y.shape[0], y.shape[1], ways, hidden).transpose(1, 2),) + last
    return run


def recurrent():
    for kind, gates, order, more in (("RNN", 1, [0], {}), ("GRU", 3, [1, 0, 2], {"linear_before_reset": 1}),
                                     ("LSTM", 4, [0, 2, 3, 1], {})):
        for ways, direction in ((1, "forward"), (2, "bidirectional")):
            states = [real(ways, 2, 3) for _ in range(2 if kind == "LSTM" else 1)]
            case(kind, 14, lstm_like(kind, order), real(4, 2, 5), real(ways, gates * 3, 5), real(ways, gates * 3, 3),
                 real(ways, gates * 6), None, *states, hidden_size=3, direction=direction, **more)


def attention():
    def heads(q, k, v, mask=None, scale=None, causal=False):
        a = q @ k.transpose(-2, -1) * (scale or q.shape[-1] ** -0.5)
        if causal:
            a = a.masked_fill(torch.ones(a.shape[-2:], dtype=torch.bool).triu(1), -math.inf)
        return torch.softmax(a if mask is None else a + mask, -1) @ v
    q, k, v = real(2, 3, 4, 8), real(2, 3, 5, 8), real(2, 3, 5, 6)
    case("Attention", 23, heads, q, k, v)
    case("Attention", 23, lambda q, k, v, m: heads(q, k, v, m), q, k, v, real(4, 5))
    case("Attention", 23, lambda q, k, v: heads(q, k, v, scale=0.5, causal=True), q, real(2, 3, 4, 8), real(2, 3, 4, 6),
         scale=0.5, is_causal=1)
    case("Attention", 23, lambda q, k, v: heads(q, k.repeat_interleave(2, 1), v.repeat_interleave(2, 1)),
         real(2, 4, 3, 8), real(2, 2, 5, 8), real(2, 2, 5, 8), note="grouped")

    def split(x, n):
        return x.reshape(x.shape[0], x.shape[1], n, -1).transpose(1, 2)

    def joined(x):
        return x.transpose(1, 2).flatten(2)
    case("Attention", 23, lambda q, k, v: joined(heads(split(q, 2), split(k, 2), split(v, 2))), real(2, 3, 8),
         real(2, 5, 8), real(2, 5, 8), q_num_heads=2, kv_num_heads=2)
    case("MultiHeadAttention", 1, lambda q, k, v: joined(heads(split(q, 2), split(k, 2), split(v, 2))), real(2, 3, 8),
         real(2, 5, 8), real(2, 5, 8), num_heads=2, domain="com.microsoft")
    case("Attention", 1, lambda x, w, b: joined(heads(*[split(t, 2) for t in (x @ w + b).chunk(3, -1)])), real(2, 3, 6),
         real(6, 24), real(24), num_heads=2, domain="com.microsoft")

    def rotary(x, c, s):
        c, s = c[:, None], s[:, None]
        a, b = x.chunk(2, -1)
        return torch.cat((a * c - b * s, b * c + a * s), -1)
    case("RotaryEmbedding", 23, rotary, real(2, 3, 4, 8), real(2, 4, 4), real(2, 4, 4))
    case("RotaryEmbedding", 23, lambda x, c, s: torch.stack(
        (x[..., ::2] * c[:, None] - x[..., 1::2] * s[:, None], x[..., 1::2] * c[:, None] + x[..., ::2] * s[:, None]),
        -1).flatten(-2), real(2, 3, 4, 8), real(2, 4, 4), real(2, 4, 4), interleaved=1)


for family in (unary, binary, reductions, movement, indexing, products, convolutions, pools, norms, losses, resampling,
               recurrent, attention):
    family()
