"""Single operators that ONNX's own test data lacks: onnx-run against PyTorch, torchvision and ONNX Runtime.

usage: operators.py BIN_DIR WORK_DIR SHARED_DIR         prints ok / not ok lines
"""
import os
import sys

import numpy as np
import onnx
import torch
import torchvision
from onnx import helper, numpy_helper
from torch.nn import functional as F

import peers

TOLERANCE = 1e-5
rng = np.random.RandomState(3)


def draw(*shape):
    return rng.randn(*shape).astype(np.float32)


def ints(*values):
    return np.array(values, np.int64)


def model(path, op, opset, x, rest, attributes, outputs):
    """One node; x is the input, the rest are stored (None: left out)."""
    names = ["x"] + ["c%d" % i if a is not None else "" for i, a in enumerate(rest)]
    node = helper.make_node(op, names, ["y%d" % i if i in outputs else "" for i in range(max(outputs) + 1)], **attributes)
    graph = helper.make_graph([node], "one", [helper.make_tensor_value_info("x", 1, x.shape)],
                              [helper.make_tensor_value_info("y%d" % i, 1, None) for i in outputs],
                              [numpy_helper.from_array(a, "c%d" % i) for i, a in enumerate(rest) if a is not None])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    made.ir_version = 8
    onnx.save(made, path)


def check(where, name, op, opset, x, rest=(), attributes=None, expected=None, outputs=(0,)):
    """expected: a function of tensors that gives the outputs, or None: ONNX Runtime does."""
    path = os.path.join(where[1], "one.onnx")
    title = "%s-%d %s" % (op, opset, name)
    try:
        model(path, op, opset, x, rest, attributes or {}, outputs)
        have = peers.ours(where[0], where[1], path, x)
        if expected is None:
            want = peers.in_ort(where[1], path, x)
        else:
            want = expected(torch.tensor(x), *[None if a is None else torch.tensor(a) for a in rest])
            want = [t.numpy() for t in (want if isinstance(want, (list, tuple)) else [want])]
    except peers.Fault as fault:
        peers.say(False, "%s: %s" % (title, fault))
        return
    worst = max(peers.gap(a, b) for a, b in zip(have, want))
    peers.say(worst <= TOLERANCE, "%s beside %s: %.1e" % (title, "PyTorch" if expected else "ONNX Runtime", worst))


def real(z):
    return torch.view_as_real(z)


def signals(where):
    check(where, "of real numbers", "DFT", 17, draw(2, 15, 1), (), {},
          lambda x: real(torch.fft.fft(x[..., 0], dim=1)))
    for n in (20, 31, 37, 49, 66):
        check(where, "of length %d" % n, "DFT", 17, draw(2, n, 2), (), {},
              lambda x: real(torch.fft.fft(torch.view_as_complex(x), dim=1)))
    check(where, "one-sided, of a prime length", "DFT", 20, draw(2, 13, 1), (), {"onesided": 1},
          lambda x: real(torch.fft.rfft(x[..., 0], dim=1)))
    check(where, "inverse, cut", "DFT", 20, draw(2, 3, 16, 2), (ints(12).reshape(()), ints(2).reshape(())), {"inverse": 1},
          lambda x, n, a: real(torch.fft.ifft(torch.view_as_complex(x), n=12, dim=2)))
    check(where, "inverse, one-sided", "DFT", 20, draw(3, 7, 2), (), {"inverse": 1, "onesided": 1},
          lambda x: torch.fft.irfft(torch.view_as_complex(x), dim=1).unsqueeze(-1))
    check(where, "with a window", "STFT", 17, draw(2, 50, 1), (ints(7).reshape(()), np.hanning(12).astype(np.float32)), {},
          lambda x, s, w: real(torch.stft(x[..., 0], 12, 7, window=w, center=False, return_complex=True)).transpose(1, 2))


def pictures(where):
    boxes = np.array([[0, 1, 9, 8], [2.2, 3.1, 7.7, 12], [-3, 0, 4, 5]], np.float32)
    which = ints(1, 0, 1)
    both = torch.tensor(np.concatenate([which[:, None].astype(np.float32), boxes], 1))
    for shift in (True, False):
        check(where, "shifted" if shift else "not shifted", "RoiAlign", 16, draw(2, 3, 9, 10), (boxes, which),
              {"output_height": 3, "output_width": 2, "spatial_scale": 0.7, "sampling_ratio": 2,
               "coordinate_transformation_mode": "half_pixel" if shift else "output_half_pixel"},
              lambda x, b, i: torchvision.ops.roi_align(x, both, (3, 2), 0.7, 2, shift))
    check(where, "as many samples as pixels", "RoiAlign", 16, draw(2, 3, 9, 10), (boxes, which),
          {"output_height": 2, "output_width": 2},
          lambda x, b, i: torchvision.ops.roi_align(x, both, (2, 2), 1.0, -1, True))
    check(where, "", "MaxRoiPool", 1, draw(2, 3, 9, 10), (both.numpy(),), {"pooled_shape": [3, 2], "spatial_scale": 0.7},
          lambda x, b: torchvision.ops.roi_pool(x, both, (3, 2), 0.7))
    check(where, "", "Col2Im", 18, draw(2, 3 * 6, 20), (ints(5, 9), ints(2, 3)),
          {"dilations": [2, 1], "pads": [1, 0, 1, 0], "strides": [1, 2]},
          lambda x, i, b: F.fold(x, (5, 9), (2, 3), dilation=(2, 1), padding=(1, 0), stride=(1, 2)))


def moved(where):
    x, w, b = draw(2, 4, 7, 8), draw(6, 2, 3, 2), draw(6)
    offset, mask = draw(2, 2 * 2 * 6, 4, 8), draw(2, 2 * 6, 4, 8)
    check(where, "groups, mask", "DeformConv", 19, x, (w, offset, b, mask),
          {"group": 2, "offset_group": 2, "pads": [1, 1, 1, 1], "strides": [2, 1], "dilations": [1, 2]},
          lambda v, k, o, c, m: torchvision.ops.deform_conv2d(v, o, k, c, stride=(2, 1), padding=(1, 1),
                                                              dilation=(1, 2), mask=m))
    for corners in (0, 1):
        check(where, "corners %d" % corners, "AffineGrid", 20, draw(2, 2, 3), (ints(2, 3, 5, 4),), {"align_corners": corners},
              lambda t, n: F.affine_grid(t, (2, 3, 5, 4), align_corners=bool(corners)))
        check(where, "3-D, corners %d" % corners, "AffineGrid", 20, draw(2, 3, 4), (ints(2, 3, 2, 5, 4),),
              {"align_corners": corners},
              lambda t, n: F.affine_grid(t, (2, 3, 2, 5, 4), align_corners=bool(corners)))


def attention(where):
    check(where, "heads side by side, causal", "Attention", 23, draw(2, 5, 24), (draw(2, 5, 12), draw(2, 5, 12)),
          {"q_num_heads": 4, "kv_num_heads": 2, "is_causal": 1})
    check(where, "a mask, other lengths", "Attention", 23, draw(2, 3, 4, 8), (draw(2, 3, 6, 8), draw(2, 3, 6, 5), draw(4, 6)))
    check(where, "a mask of bools", "Attention", 23, draw(2, 3, 4, 8),
          (draw(2, 3, 6, 8), draw(2, 3, 6, 8), (rng.rand(2, 1, 4, 6) > 0.3) | (np.arange(6) == 0)))
    check(where, "the past", "Attention", 23, draw(2, 3, 4, 8),
          (draw(2, 3, 4, 8), draw(2, 3, 4, 8), None, draw(2, 3, 5, 8), draw(2, 3, 5, 8)), {"is_causal": 1}, None, (0, 1, 2))
    check(where, "capped scores", "Attention", 23, draw(2, 3, 4, 8), (draw(2, 3, 6, 8), draw(2, 3, 6, 8)),
          {"softcap": 0.8, "scale": 0.5})
    for near in (0, 1):
        check(where, "interleaved %d" % near, "RotaryEmbedding", 23, draw(2, 3, 4, 8),
              (draw(9, 4), draw(9, 4), rng.randint(0, 9, (2, 4)).astype(np.int64)), {"interleaved": near})
    check(where, "half of a head", "RotaryEmbedding", 23, draw(2, 4, 24), (draw(2, 4, 2), draw(2, 4, 2)),
          {"num_heads": 3, "rotary_embedding_dim": 4})
    check(where, "", "TensorScatter", 24, draw(2, 3, 6, 4), (draw(2, 3, 2, 4), ints(1, 4)))


def floats(*values):
    return np.array(values, np.float32)


def resized(where):
    for mode in ("nearest", "linear", "cubic"):
        for coord in ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric", "half_pixel_symmetric"):
            for smooth in (0, 1) if mode != "nearest" else (0,):
                check(where, "%s, %s, antialias %d" % (mode, coord, smooth), "Resize", 19, draw(1, 2, 6, 7),
                      (None, None, ints(9, 5)), {"mode": mode, "coordinate_transformation_mode": coord,
                                                 "antialias": smooth, "axes": [2, 3]})
    for policy in ("not_larger", "not_smaller"):
        check(where, policy, "Resize", 19, draw(1, 2, 6, 7), (None, None, ints(9, 5)),
              {"mode": "linear", "axes": [2, 3], "keep_aspect_ratio_policy": policy})
    check(where, "a crop", "Resize", 19, draw(1, 1, 6, 7), (floats(0, 0, .2, .1, 1, 1, .7, 1.2), None, ints(1, 1, 4, 5)),
          {"mode": "linear", "coordinate_transformation_mode": "tf_crop_and_resize", "extrapolation_value": 9.0})
    check(where, "nothing from outside", "Resize", 19, draw(1, 1, 6, 7), (None, floats(1, 1, .6, 1.7)),
          {"mode": "cubic", "exclude_outside": 1})
    for near in ("floor", "ceil", "round_prefer_floor", "round_prefer_ceil"):
        check(where, near, "Resize", 19, draw(1, 1, 6, 7), (None, floats(1, 1, .6, 1.7)),
              {"mode": "nearest", "nearest_mode": near})
    for mode in ("linear", "nearest", "cubic"):
        for padding in ("zeros", "border", "reflection"):
            check(where, "%s, %s" % (mode, padding), "GridSample", 20, draw(1, 2, 5, 6), (draw(1, 3, 4, 2),),
                  {"mode": mode, "padding_mode": padding})
    check(where, "3-D", "GridSample", 20, draw(1, 2, 5, 6, 4), (draw(1, 3, 4, 2, 3),))


def others(where):
    check(where, "wrap", "Pad", 19, draw(2, 3, 4), (ints(1, 3, 2, 1), floats(0).reshape(()), ints(1, 2)), {"mode": "wrap"})
    for how in ("add", "mul", "max", "min"):
        check(where, how, "ScatterElements", 18, draw(3, 4), (ints(0, 1, 1, 0).reshape(1, 4), draw(1, 4)), {"reduction": how})
        check(where, how, "ScatterND", 18, draw(3, 4), (ints(0, 2, 0).reshape(3, 1), draw(3, 4)), {"reduction": how})
    check(where, "", "LpPool", 18, draw(1, 2, 7, 8), (), {"kernel_shape": [3, 2], "p": 3, "dilations": [1, 2], "ceil_mode": 1})
    check(where, "", "AveragePool", 19, draw(1, 2, 7, 8), (),
          {"kernel_shape": [3, 2], "dilations": [2, 1], "pads": [1, 0, 1, 1], "count_include_pad": 1, "ceil_mode": 1,
           "strides": [2, 2]})
    check(where, "by tanh", "Gelu", 20, draw(3, 4), (), {"approximate": "tanh"})
    check(where, "", "GroupNormalization", 21, draw(2, 6, 4), (draw(6), draw(6)), {"num_groups": 3})
    check(where, "", "RMSNormalization", 23, draw(2, 6, 4), (draw(6, 4),), {"axis": 1})
    check(where, "", "CenterCropPad", 18, draw(5, 4), (ints(2, 7),))
    check(where, "", "Einsum", 12, draw(2, 3, 4), (draw(4, 3),), {"equation": "...ij,jk->...ik"})
    check(where, "", "Swish", 24, draw(2, 4), (), {"alpha": 1.5})
    check(where, "", "Mish", 22, draw(2, 4))
    check(where, "", "ReduceLogSumExp", 18, draw(2, 4, 3), (ints(1, -1),), {"keepdims": 0})


def main():
    bin_dir, work = sys.argv[1], sys.argv[2]
    where = (bin_dir, peers.fresh(work))
    signals(where)
    pictures(where)
    moved(where)
    attention(where)
    resized(where)
    others(where)


if __name__ == "__main__":
    main()
