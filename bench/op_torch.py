"""What PyTorch has for the operators of op_cases.py, and how long its gradients take.

usage: op_torch.py CASE THREADS RUNS        a line of JSON: medians of the seconds forward and back, as backward.c's
"""
import json
import os
import statistics
import sys
import time

if __name__ == "__main__":          # its BLAS does not listen to set_num_threads
    os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = sys.argv[2]
import torch
import torchvision
from torch.nn import functional as F

t = torch


def conv(x, w, b=None, transposed=False, pads=None, strides=1, dilations=1, group=1):
    n = x.dim() - 2
    pad = pads[:n] if pads else 0
    if transposed:
        return getattr(F, "conv_transpose%dd" % n)(x, w, b, strides, pad, 0, group, dilations)
    return getattr(F, "conv%dd" % n)(x, w, b, strides, pad, dilations, group)


def pool(kind):
    def run(x, kernel_shape, strides=1, pads=None, dilations=1, **_):
        n = x.dim() - 2
        more = {"dilation": dilations} if kind == "max" else {"count_include_pad": False}
        return getattr(F, "%s_pool%dd" % (kind, n))(x, kernel_shape, strides, pads[:n] if pads else 0, **more)
    return run


def transpose_of(function):
    """A recurrent layer of PyTorch's own with the sizes of the node's weights."""
    def run(x, w, r, hidden_size, direction="forward"):
        layer = function(x.shape[2], hidden_size, bidirectional=direction == "bidirectional", bias=False)
        return lambda: layer(x)[0], list(layer.parameters())
    return run


def resize(x, _, scales, mode, coordinate_transformation_mode="half_pixel", antialias=0, **__):
    how = {"nearest": "nearest", "linear": "bilinear", "cubic": "bicubic"}[mode]
    if how == "nearest":
        return F.interpolate(x, scale_factor=tuple(scales.tolist()[2:]), mode=how)
    return F.interpolate(x, scale_factor=tuple(scales.tolist()[2:]), mode=how, antialias=bool(antialias),
                         align_corners=coordinate_transformation_mode == "align_corners")


def pad(x, p, mode="constant"):
    n, p = x.dim(), p.tolist()
    ends = [v for d in reversed(range(n)) for v in (p[d], p[n + d])]
    if mode == "constant":
        return F.pad(x, ends)
    return F.pad(x, ends[:4], mode={"reflect": "reflect", "edge": "replicate", "wrap": "circular"}[mode])


def reduction(function):
    return lambda x, a: function(x, tuple(a.tolist()), True)


def scatter_nd(x, i, u):
    return x.index_put(tuple(i.long().unbind(-1)), u)


def einsum(*x, equation):
    return t.einsum(equation, *x)


def gemm(a, b, c, transA=0, transB=0):
    return t.addmm(c, a.T if transA else a, b.T if transB else b)


def cut(x, begin, end, axes=None, steps=None):
    at = [slice(None)] * x.dim()
    for k, d in enumerate(axes.tolist() if axes is not None else range(len(begin))):
        step = 1 if steps is None else int(steps[k])
        if step < 0:
            return x.flip(d)
        at[d] = slice(int(begin[k]), int(end[k]), step)
    return x[tuple(at)]


def signal(x, n, axis, **_):
    return t.view_as_real(t.fft.fft(x[..., 0], dim=1))


OPS = {
    "LeakyRelu": lambda x: F.leaky_relu(x, 0.01),
    "Gelu": lambda x, approximate="none": F.gelu(x, approximate=approximate),
    "HardSwish": F.hardswish, "HardSigmoid": F.hardsigmoid, "Elu": F.elu, "Selu": F.selu, "Celu": F.celu,
    "Softplus": F.softplus, "Softsign": F.softsign, "Mish": F.mish, "Clip": lambda x, a, b: x.clamp(0, 6),
    "ThresholdedRelu": lambda x: F.threshold(x, 1.0, 0.0), "Identity": lambda x: x * 1, "Shrink": F.hardshrink,
    "Max": t.maximum, "Mean": lambda x, y: (x + y) / 2, "Pow": lambda x, p: x.pow(float(p) if p.dim() == 0 else p),
    "Mod": lambda x, y, fmod: t.fmod(x, y), "PRelu": lambda x, s: F.prelu(x, s.flatten()),
    "Where": t.where, "Dropout": F.dropout, "FastGelu": lambda x: F.gelu(x, approximate="tanh"),
    "BiasGelu": lambda x, b: F.gelu(x + b), "Floor": None, "Ceil": None, "Round": None, "Sign": None,
    "ReduceSum": reduction(t.sum), "ReduceMean": reduction(t.mean), "ReduceMax": reduction(t.amax),
    "ReduceProd": lambda x, a: x.prod(int(a[0]), True),
    "ReduceL2": reduction(lambda x, d, k: t.linalg.vector_norm(x, 2, d, k)),
    "ReduceLogSumExp": reduction(t.logsumexp), "ReduceSumSquare": reduction(lambda x, d, k: x.square().sum(d, k)),
    "ReduceL1": reduction(lambda x, d, k: x.abs().sum(d, k)),
    "Softmax": lambda x, axis: x.softmax(axis), "LogSoftmax": lambda x, axis: x.log_softmax(axis),
    "TopK": lambda x, k, axis=-1: x.topk(int(k), axis)[0], "CumSum": lambda x, a: x.cumsum(int(a)),
    "Trilu": lambda x, upper: x.tril(), "Transpose": lambda x, perm: x.permute(perm).contiguous(),
    "Concat": lambda *x, axis: t.cat(x, axis), "Split": lambda x, axis, num_outputs: x.chunk(num_outputs, axis),
    "Slice": cut, "Pad": pad, "Tile": lambda x, n: x.repeat(n.tolist()),
    "Expand": lambda x, n: x.expand(n.tolist()).contiguous(),
    "Gather": lambda x, i, axis=0: x.index_select(axis, i), "GatherND": lambda x, i: x[tuple(i.unbind(-1))],
    "GatherElements": lambda x, i, axis: x.gather(axis, i),
    "ScatterElements": lambda x, i, u, axis, reduction="none": (
        x.scatter_add(axis, i, u) if reduction == "add" else x.scatter(axis, i, u)),
    "ScatterND": scatter_nd, "DepthToSpace": lambda x, blocksize: F.pixel_shuffle(x, blocksize),
    "SpaceToDepth": lambda x, blocksize: F.pixel_unshuffle(x, blocksize), "Resize": resize,
    "MaxPool": pool("max"), "AveragePool": pool("avg"), "GlobalAveragePool": lambda x: x.mean((2, 3), True),
    "GlobalMaxPool": lambda x: F.adaptive_max_pool2d(x, 1),
    "LpPool": lambda x, kernel_shape, strides: F.lp_pool2d(x, 2.0, kernel_shape, strides),
    "MaxUnpool": lambda x, i, kernel_shape, strides: F.max_unpool2d(x, i - i[:, :, :1, :1], kernel_shape, strides),
    "Conv": conv, "ConvTranspose": lambda x, w, **a: conv(x, w, transposed=True, **a), "Gemm": gemm, "Einsum": einsum,
    "LSTM": transpose_of(t.nn.LSTM), "GRU": transpose_of(t.nn.GRU), "RNN": transpose_of(t.nn.RNN),
    "LayerNormalization": lambda x, s, b: F.layer_norm(x, s.shape, s, b),
    "InstanceNormalization": lambda x, s, b: F.instance_norm(x, None, None, s, b),
    "GroupNormalization": lambda x, s, b, num_groups: F.group_norm(x, num_groups, s, b),
    "BatchNormalization": lambda x, s, b, m, v: F.batch_norm(x, m.detach(), v.detach(), s, b, True),
    "LRN": F.local_response_norm, "LpNormalization": lambda x, axis: F.normalize(x, dim=axis),
    "RMSNormalization": lambda x, s: x * (x.square().mean(-1, True) + 1e-5).rsqrt() * s,
    "GridSample": lambda x, g, mode: F.grid_sample(x, g, {"linear": "bilinear", "cubic": "bicubic"}.get(mode, mode),
                                                   align_corners=False),
    "AffineGrid": lambda x, n: F.affine_grid(x, n.tolist(), align_corners=False),
    "DeformConv": lambda x, w, o, pads: torchvision.ops.deform_conv2d(x, o, w, padding=1),
    "RoiAlign": lambda x, r, i, **_: torchvision.ops.roi_align(x, t.cat((i[:, None].float(), r), 1), 7, 1.0, 2, True),
    "DFT": signal, "Det": t.linalg.det,
    "Col2Im": lambda x, s, k, pads: F.fold(x, s.tolist(), k.tolist(), padding=1),
    "SkipLayerNormalization": lambda x, y, s, b: F.layer_norm(x + y, s.shape, s, b),
}
PLAIN = ("Relu Sigmoid Tanh Exp Log Sqrt Abs Neg Erf Sin Cos Tan Atan Asin Sinh Cosh Atanh Reciprocal Add Sub Mul Div "
         "MatMul")
OPS.update({o: getattr(t, o.lower()) for o in PLAIN.split()})


def prepare(case):
    """(function that runs the operator, tensors that get a gradient); None: PyTorch has nothing like it."""
    if OPS.get(case.op) is None:
        return None
    named = {n: t.from_numpy(a) for n, a in case.numbers().items()}
    x = [named[n] if n else None for n in case.inputs]
    wanted = [a for k, a in enumerate(x) if a is not None and a.is_floating_point() and a.numel() > 1 and
              not (k and case.op in ("Resize", "RoiAlign"))]
    for a in wanted:
        a.requires_grad_(True)
    if case.op in ("LSTM", "GRU", "RNN"):
        run, more = OPS[case.op](*x, **case.attrs)
        return run, x[:1] + more
    return lambda: OPS[case.op](*x, **case.attrs), wanted


def main():
    from op_cases import CASES
    name, threads, runs = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    t.set_num_threads(threads)
    ready = prepare(next(c for c in CASES if c.name == name))
    if ready is None:
        print("{}")
        return
    forward, back = [], []
    for _ in range(runs + 1):
        for a in ready[1]:
            a.grad = None
        begun = time.perf_counter()
        y = ready[0]()
        y = list(y) if isinstance(y, (list, tuple)) else [y]
        half = time.perf_counter()
        dy = [t.ones_like(v) for v in y]
        since = time.perf_counter()
        t.autograd.backward(y, dy)
        back.append(time.perf_counter() - since)
        forward.append(half - begun)
    print(json.dumps({"forward": statistics.median(forward[1:]), "backward": statistics.median(back[1:])}))


if __name__ == "__main__":
    main()
