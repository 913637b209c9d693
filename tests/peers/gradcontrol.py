"""Cases of gradients.py: If, Loop and Scan, and quantised weights in a branch.  The last inputs of a case are read by the bodies from around."""
import numpy as np
import torch
from onnx import TensorProto, helper, numpy_helper

from gradcases import case, real


def port(name, kind=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, kind, None)


def graph(nodes, inputs, outputs):
    return helper.make_graph([helper.make_node(*n[:3], **(n[3] if len(n) > 3 else {})) for n in nodes], "body",
                             inputs, outputs)


# --- Scan: a recurrent layer, x2 and x3 its weights -----------------------------------------------------------

def recurrent():
    return graph([("MatMul", ["xt", "x2"], ["a"]), ("MatMul", ["h", "x3"], ["b"]), ("Add", ["a", "b"], ["c"]),
                  ("Tanh", ["c"], ["hn"]), ("Sigmoid", ["c"], ["yt"])],
                 [port("h"), port("xt")], [port("hn"), port("yt")])


def scan(axis, back_in, back_out):
    def run(h, x, w, r):
        steps = list(x.unbind(axis))
        outputs = []
        for xt in reversed(steps) if back_in else steps:
            c = xt @ w + h @ r
            h = torch.tanh(c)
            outputs.append(torch.sigmoid(c))
        return h, torch.stack(outputs[::-1] if back_out else outputs, axis)
    return run


for axis, back_in, back_out in ((0, 0, 0), (1, 1, 0), (1, 0, 1), (-2, 1, 1)):
    shape = (6, 2, 3) if axis == 0 else (2, 6, 3)
    case("Scan", 11, scan(axis, back_in, back_out), real(2, 4), real(*shape), real(3, 4), real(4, 4), around=2,
         body=recurrent(), num_scan_inputs=1, scan_input_axes=[axis], scan_output_axes=[axis],
         scan_input_directions=[back_in], scan_output_directions=[back_out])


# --- Scan of version 8: a scan for each sample, of a length of its own, x3 and x4 the weights -----------------

def by_sample(back):
    def run(lens, h0, x, w, r):
        last, outputs = [], []
        for b in range(x.shape[0]):
            h, ys, n = h0[b], [], x.shape[1] if lens is None else int(lens[b])
            for t in range(n):
                c = x[b, n - 1 - t if back else t] @ w + h @ r
                h = torch.tanh(c)
                ys.append(torch.sigmoid(c))
            ys += [torch.zeros_like(h0[b])] * (x.shape[1] - n)
            last.append(h)
            outputs.append(torch.stack(ys))
        return torch.stack(last), torch.stack(outputs)
    return run


for lengths, back in ((None, 0), (np.array([4, 0, 2], np.int64), 0), (np.array([1, 4, 3], np.int64), 1)):
    case("Scan", 8, by_sample(back), lengths, real(3, 2), real(3, 4, 3), real(3, 2), real(2, 2), around=2,
         body=graph([("MatMul", ["xt", "x3"], ["a"]), ("MatMul", ["h", "x4"], ["b"]), ("Add", ["a", "b"], ["c"]),
                     ("Tanh", ["c"], ["hn"]), ("Sigmoid", ["c"], ["yt"])],
                    [port("h"), port("xt")], [port("hn"), port("yt")]), num_scan_inputs=1, directions=[back])


# --- Loop: v = f(v x3 + turn), an If inside that changes f ----------------------------------------------------

def power(stop):
    then = graph([("Softplus", ["s"], ["early"])], [], [port("early")])
    other = graph([("Tanh", ["s"], ["late"])], [], [port("late")])
    one = helper.make_tensor("one", TensorProto.INT64, [], [1])
    last = helper.make_tensor("last", TensorProto.INT64, [], [stop])
    return graph([("Constant", [], ["c1"], {"value": one}), ("Constant", [], ["c2"], {"value": last}),
                  ("MatMul", ["v", "x3"], ["p"]), ("Cast", ["i"], ["turn"], {"to": TensorProto.FLOAT}),
                  ("Add", ["p", "turn"], ["s"]), ("Less", ["i", "c1"], ["first"]),
                  ("If", ["first"], ["vn"], {"then_branch": then, "else_branch": other}),
                  ("Less", ["i", "c2"], ["on"]), ("Mul", ["vn", "p"], ["out"])],
                 [port("i", TensorProto.INT64), port("go", TensorProto.BOOL), port("v")],
                 [port("on", TensorProto.BOOL), port("vn"), port("out")])


def powers(turns):
    def run(_most, _go, v, w):
        outputs = []
        for i in range(turns):
            p = v @ w
            v = torch.nn.functional.softplus(p + i) if i < 1 else torch.tanh(p + i)
            outputs.append(v * p)
        return v, torch.stack(outputs)
    return run


case("Loop", 11, powers(4), np.array(4, np.int64), None, real(2, 3), real(3, 3), around=1, note="counted",
     body=power(100))
case("Loop", 13, powers(3), np.array(9, np.int64), np.array(True), real(2, 3), real(3, 3), around=1,
     note="ended by its condition", body=power(2))


# --- If -------------------------------------------------------------------------------------------------------

for chosen in (True, False):
    case("If", 11, (lambda _c, a, b: (a * b).exp()) if chosen else (lambda _c, a, b: a.sin()), np.array(chosen),
         real(3, 2), real(3, 2), around=2,
         then_branch=graph([("Mul", ["x1", "x2"], ["m"]), ("Exp", ["m"], ["y"])], [], [port("y")]),
         else_branch=graph([("Sin", ["x1"], ["z"])], [], [port("z")]))


# --- a weight that is quantised and back, one scale a channel, and the same once more for all of it -----------

def quantised(one_scale):
    scale = np.array(0.125, np.float32) if one_scale else np.array([0.125, 0.03125, 0.0078125], np.float32)
    zero = np.zeros(scale.shape, np.int8)
    pair = {} if one_scale else {"axis": 1}
    return graph([("Constant", [], ["s"], {"value": numpy_helper.from_array(scale)}),
                  ("Constant", [], ["z"], {"value": numpy_helper.from_array(zero)}),
                  ("QuantizeLinear", ["x2", "s", "z"], ["q"], pair),
                  ("DequantizeLinear", ["q", "s", "z"], ["w"], pair), ("MatMul", ["x1", "w"], ["y"])],
                 [], [port("y")])


def one_scale(_c, x, w):
    return x @ torch.fake_quantize_per_tensor_affine(w, 0.125, 0, -128, 127)


def scales(_c, x, w):
    return x @ torch.fake_quantize_per_channel_affine(w, torch.tensor([0.125, 0.03125, 0.0078125]),
                                                      torch.zeros(3, dtype=torch.int32), 1, -128, 127)


for reference, single in ((one_scale, True), (scales, False)):
    case("If", 13, reference, np.array(True), real(2, 4), real(4, 3, lo=-3.0, hi=3.0), around=2,
         note="a quantised weight", then_branch=quantised(single), else_branch=quantised(single))
