"""More cases of gradients.py: layers.  (See gradcases.py.)"""
import math

import numpy as np
import torch
from torch.nn import functional as F
import torchvision

from gradcases import case, distinct, ints, one, positive, real, rng


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
    case("FusedConv", 1, lambda x, w, b: torch.relu(c2(x, w, b, padding=1)), real(1, 2, 4, 4), real(3, 2, 3, 3),
         real(3), pads=[1, 1, 1, 1], activation="Relu", domain="com.microsoft")
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
    case("LpPool", 18, lambda x: F.lp_pool2d(x, 2, 2, 2), positive(1, 2, 6, 6), kernel_shape=[2, 2],
         strides=[2, 2], p=2)
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
                                                                eps), x, positive(2), real(2),
         num_groups=2, epsilon=eps)
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
        case("SoftmaxCrossEntropyLoss", 13, lambda x, t, r=reduction: F.cross_entropy(x, t, reduction=r), scores,
             target, reduction=reduction)
        case("SoftmaxCrossEntropyLoss", 13, lambda x, t, w, r=reduction: F.cross_entropy(x, t, w, reduction=r), scores,
             target, weight, reduction=reduction, fixed=(2,))
        case("NegativeLogLikelihoodLoss", 13, lambda x, t, w, r=reduction: F.nll_loss(x, t, w, reduction=r), scores,
             target, weight, reduction=reduction, fixed=(2,))
    case("SoftmaxCrossEntropyLoss", 13, lambda x, t: F.cross_entropy(x, t, ignore_index=1), image, marks,
         ignore_index=1)
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
        case("Resize", 13, lambda x, r, s, z, n=name: F.interpolate(x, (7, 3), mode=n, align_corners=True), x, None,
             None, ints(1, 2, 7, 3), mode=mode, coordinate_transformation_mode="align_corners", cubic_coeff_a=-0.75)
    case("Resize", 18, lambda x, r, s, z: F.interpolate(x, (2, 3), mode="bilinear", align_corners=False,
                                                         antialias=True), x, None, None, ints(1, 2, 2, 3), mode="linear",
         antialias=1, exclude_outside=1)
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
        x[..., 0], 8, 3, 8, w, center=False, return_complex=True)).transpose(1, 2), real(2, 20, 1),
        np.array(3, np.int64), positive(8), np.array(8, np.int64))


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
            y, h = {"GRU": torch._VF.gru, "RNN": torch._VF.rnn_tanh}[kind](x, h0, flat, True, 1, 0.0, False,
                                                                           both, False)
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


def states():
    def causal(x, w, b, s, silu=False):
        z = torch.cat((s, x), 2)
        u = F.conv1d(z, w, b, groups=x.shape[1])
        return (F.silu(u) if silu else u), z[:, :, -s.shape[2]:]
    inputs = real(2, 3, 5), real(3, 1, 4), real(3), real(2, 3, 3)
    case("CausalConvWithState", 27, causal, *inputs)
    case("CausalConvWithState", 27, lambda *a: causal(*a, silu=True), *inputs, activation="silu")

    def linear(q, k, v, s, g=None, b=None, heads=2):
        """[batch][length][heads * width]; the state of a head is [width of k][width of v]."""
        out = []
        q, k, v = (t.unflatten(2, (heads, -1)) for t in (q, k, v))
        g = None if g is None else g.unflatten(2, (heads, -1))
        b = None if b is None else b.unflatten(2, (heads, -1))
        for t in range(q.shape[1]):
            if g is not None:
                s = s * g[:, t, :, :, None].exp()
            new = v[:, t]
            if b is not None:
                new = (new - (k[:, t, :, None] @ s)[:, :, 0]) * b[:, t]
            s = s + k[:, t, :, :, None] * new[:, :, None]
            out.append((q[:, t, :, None] @ s)[:, :, 0] * q.shape[3] ** -0.5)
        return torch.stack(out, 1).flatten(2), s
    q, k, v, s = real(2, 3, 4), real(2, 3, 4), real(2, 3, 6), real(2, 2, 2, 3)
    decay, rate = real(2, 3, 4, lo=-1.0, hi=0.0), real(2, 3, 2, lo=0.1, hi=0.9)
    heads = {"q_num_heads": 2, "kv_num_heads": 2}
    case("LinearAttention", 27, linear, q, k, v, s, update_rule="linear", **heads)
    case("LinearAttention", 27, linear, q, k, v, s, decay, update_rule="gated", **heads)
    case("LinearAttention", 27, lambda q, k, v, s, g, b: linear(q, k, v, s, None, b), q, k, v, s, None, rate,
         update_rule="delta", **heads)
    case("LinearAttention", 27, linear, q, k, v, s, decay, rate, **heads)
    case("TensorScatter", 24, lambda p, u: torch.cat((u, p[:, :, 2:]), 2), real(2, 3, 4, 2), real(2, 3, 2, 2))
    case("TensorScatter", 24, lambda p, u, w: torch.cat((u[:, 2:], p[:, 1:2], u[:, :2]), 1), real(1, 4, 3), real(1, 3, 3),
         ints(2), mode="circular", axis=1)


def pipelines():
    """Operators of ai.onnx.ml, and others that PyTorch says in two words."""
    ml = "ai.onnx.ml"
    case("Scaler", 1, lambda x: (x - torch.tensor([1.0, 2, 3])) * torch.tensor([0.5, 2, -1]), real(2, 3), domain=ml,
         offset=[1.0, 2.0, 3.0], scale=[0.5, 2.0, -1.0])
    for norm, length in (("L1", lambda x: x.abs().sum(1, True)), ("L2", lambda x: x.norm(2, 1, True)),
                         ("MAX", lambda x: x.abs().amax(1, True))):
        case("Normalizer", 1, lambda x, f=length: x / f(x), distinct(3, 4) + one(3), domain=ml, norm=norm)
    case("LinearRegressor", 1, lambda x: x @ torch.tensor([[0.5, 1.5], [-1, 2], [0.25, 0]]).double()
         + torch.tensor([1.0, -2]), real(4, 3), domain=ml, coefficients=[0.5, -1.0, 0.25, 1.5, 2.0, 0.0],
         intercepts=[1.0, -2.0], targets=2)
    case("FeatureVectorizer", 1, lambda a, b: torch.cat((a, b), 1), real(3, 2), real(3, 3), domain=ml,
         inputdimensions=[2, 3])
    case("ArrayFeatureExtractor", 1, lambda x, i: x[:, i], real(3, 4), ints(2, 0, 2), domain=ml)
    case("Imputer", 1, lambda x: x * 1, real(3, 4), domain=ml, imputed_value_floats=[0.0], replaced_value_float=9.0)
    case("CastLike", 15, lambda x, y: x * 1, real(2, 3), one(1), fixed=(1,))
    case("DequantizeLinear", 13, lambda x, s, z: (x - z) * s, rng.integers(-9, 9, (3, 4)).astype(np.int8),
         positive(), np.array(3, np.int8))
    case("DequantizeLinear", 13, lambda x, s: x * s[:, None], rng.integers(-9, 9, (2, 3, 4)).astype(np.int8), positive(3),
         axis=1)
    rois = np.array([[0, 0, 0, 3, 4], [1, 1, 1, 5, 5]], np.float32)
    case("MaxRoiPool", 1, lambda x, r: torchvision.ops.roi_pool(x, r, (2, 3)), distinct(2, 2, 6, 6), rois, fixed=(1,),
         pooled_shape=[2, 3])
    words, kinds = np.array([[1, 3, 0], [2, 2, 1]], np.int32), np.array([[0, 1, 1], [0, 0, 1]], np.int32)
    case("EmbedLayerNormalization", 1, lambda i, s, w, p, t, g, b: F.layer_norm(
        w[i.long()] + p[:3] + t[s.long()], (5,), g, b, 2.0 ** -17), words, kinds, real(4, 5), real(3, 5), real(2, 5),
        positive(5), real(5), epsilon=2.0 ** -17, domain="com.microsoft")


for family in (states, pipelines, convolutions, pools, norms, losses, resampling, recurrent, attention):
    family()
