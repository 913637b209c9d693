"""Ten steps of training, here and in PyTorch.

In double: the same model with its tensors as double must follow PyTorch's float64 run to DOUBLE, on HELD draws of data.

In single: how far PyTorch's float32 run ends up from the exact run is the measure; with --precise ours may be at most
FACTOR times as far, in the losses and in the weights, without it (Winograd's products) ROUGH times.  Rounding can tip a
single ReLU or maximum over, and then a run is a thousand times further off than its twin: so there are DRAWS, and
medians are compared.  Behind the draws where the double runs were held against each other, ours, which is quicker, is
the exact one.

usage: trajectory.py BIN_DIR WORK_DIR SHARED_DIR [NET ...]      prints ok / not ok lines; -NET: all nets but this
"""
import copy
import os
import sys
import warnings

import numpy as np
import onnx
import torch

import nets
import peers
import training

FACTOR, ROUGH = 3.0, 20.0
DOUBLE = 1e-8                   # rounding of 1e-16, times what ten steps can amplify
STEPS, BATCH, DRAWS, HELD = 10, 8, 9, 3
RULES = {       # options of onnx-train, optimiser; the rate is that of rate()
    "sgd": (["--optim", "sgd", "--momentum", "0.9", "--weight-decay", "0.0001", "--decay-all"],
            lambda p, lr: torch.optim.SGD(p, lr=lr, momentum=0.9, weight_decay=0.0001)),
    "adamw": (["--optim", "adamw", "--weight-decay", "0.01", "--decay-all"],
              lambda p, lr: torch.optim.AdamW(p, lr=lr, weight_decay=0.01)),
}


def rate(rule, shape):
    """Untrained nets of many layers fly apart at the rates that suit trained or small ones."""
    lr = 0.01 if rule == "sgd" else 0.001
    return lr / 10 if len(shape) == 3 else lr


def measures(run, exact, names):
    """Distance of the weights, and of the losses."""
    return (training.distance(run[1], exact[1], names),
            float(np.abs(run[0] - exact[0]).max()) if len(run[0]) == len(exact[0]) else float("inf"))


def draw(shape, seed):
    torch.manual_seed(seed)
    return torch.randn(STEPS * BATCH, *shape), torch.randint(0, 5, (STEPS * BATCH,))


def compare(name, net, shape, bin_dir, work, rule, bn):
    model, wide = os.path.join(work, "model.onnx"), os.path.join(work, "wide.onnx")
    nets.export(copy.deepcopy(net), shape, model)
    onnx.save(peers.retyped(onnx.load(model), onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE), wide)
    lr = rate(rule, shape)
    options = ["--lr", str(lr)] + RULES[rule][0]

    def optimiser(parameters):
        return RULES[rule][1](parameters, lr)

    label = "trajectory %s %s bn %s" % (name, rule, bn)
    theirs, mine, rough, double = [], [], [], []
    for seed in range(DRAWS):
        x, y = draw(shape, 11 + seed)
        wider = training.ours(bin_dir, work, wide, x, y, options, bn, BATCH)
        exact = training.in_torch(net, x, y, optimiser, bn, torch.float64, BATCH) if seed < HELD else wider
        ours = training.ours(bin_dir, work, model, x, y, options + ["--precise"], bn, BATCH)
        if seed == 0:   # Exporters may rename what they transpose; all that kept its name is compared.
            names = [k for k in exact[1] if k in ours[1] and ours[1][k].shape == exact[1][k].shape]
            enough = len(names) >= len(exact[1]) // 2
            count = len(exact[1])
        mine.append(measures(ours, exact, names))
        rough.append(measures(training.ours(bin_dir, work, model, x, y, options, bn, BATCH), exact, names))
        theirs.append(measures(training.in_torch(net, x, y, optimiser, bn, torch.float32, BATCH), exact, names))
        if seed < HELD:
            double.append(measures(wider, exact, names))
    good = peers.say(enough and np.max(double) <= DOUBLE, "%s in double: weights %.2g, losses %.2g, %d of %d tensors"
                     % (label, *np.max(double, 0), len(names), count))
    base_w, base_l = np.median(theirs, 0)
    for how, runs, factor in (", precise", mine, FACTOR), ("", rough, ROUGH):
        w, l = np.median(runs, 0)
        # A number that is stored in single precision is known to 6e-8 of itself at best.
        ratio = max(w / (base_w + 1e-9), l / (base_l + 1e-7))
        good &= peers.say(enough and ratio <= factor, "%s%s: weights %.2g (PyTorch float32 %.2g), losses %.2g (%.2g)"
                          % (label, how, w, base_w, l, base_l))
    return good


def main():
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)      # another script runs beside this one: two would wait for each other
    bin_dir, work = sys.argv[1], sys.argv[2]
    os.makedirs(work, exist_ok=True)
    good = True
    for name in [n for n in sys.argv[4:] if n[0] != "-"] or [n for n in nets.NETS if "-" + n not in sys.argv[4:]]:
        net, shape = nets.build(name)
        for rule in RULES:
            for bn in ("frozen", "auto") if nets.has_batch_norm(net) else ("auto",):
                good &= compare(name, net, shape, bin_dir, work, rule, bn)
    sys.exit(0 if good else 1)


main()
