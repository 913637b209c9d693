"""Cases of gradients.py: If, Loop and Scan.  The last inputs of a case are read by the bodies from around."""
import numpy as np
import torch
from onnx import TensorProto, helper

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
