"""Ten steps of training, here and in PyTorch.

In double: the same model with its tensors as double must follow PyTorch's float64 run to DOUBLE.

In single: how far PyTorch's float32 run ends up from its float64 run is the measure; ours may be at most FACTOR
times as far, in the losses and in the weights.  Rounding can tip a single ReLU or maximum over, and then a run
is a thousand times further off than its twin: so there are several draws of data, and medians are compared.

usage: trajectory.py BIN_DIR WORK_DIR SHARED_DIR [NET ...]      prints ok / not ok lines
"""
import copy
import json
import os
import subprocess
import sys
import warnings

import numpy as np
import onnx
import onnx.numpy_helper
import torch

import nets
import peers

FACTOR = 3.0
DOUBLE = 1e-8                   # rounding of 1e-16, times what ten steps can amplify
STEPS, BATCH, DRAWS = 10, 8, 3
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


def torch_run(net, x, y, rule, lr, bn, dtype):
    net = copy.deepcopy(net).to(dtype)
    net.train()
    if bn == "frozen":
        for m in net.modules():
            if isinstance(m, torch.nn.BatchNorm2d):
                m.eval()
    optim = RULES[rule][1](net.parameters(), lr)
    losses = []
    for i in range(STEPS):
        part = slice(i * BATCH, (i + 1) * BATCH)
        optim.zero_grad()
        loss = torch.nn.functional.cross_entropy(net(x[part].to(dtype)), y[part])
        loss.backward()
        optim.step()
        losses.append(loss.item())
    state = {k: v.to(torch.float64).numpy() for k, v in net.state_dict().items()
             if v.is_floating_point()}
    return np.array(losses), state


def our_run(bin_dir, work, model, x, y, rule, lr, bn):
    np.save(os.path.join(work, "x.npy"), x.numpy())
    np.save(os.path.join(work, "y.npy"), y.numpy())
    out, log = os.path.join(work, "out.onnx"), os.path.join(work, "out.jsonl")
    free = subprocess.run([os.path.join(bin_dir, "onnx-freeze"), "-q", "--none", model], check=True,
                          stdout=subprocess.PIPE).stdout
    subprocess.run([os.path.join(bin_dir, "onnx-train"), "--data",
                    os.path.join(work, "x.npy") + "," + os.path.join(work, "y.npy"), "--batch", str(BATCH),
                    "--epochs", "1", "--no-shuffle", "--schedule", "constant", "--bn", bn, "--no-keep-best",
                    "--lr", str(lr), "--events", log, "-q", "-o", out] + RULES[rule][0], input=free, check=True)
    losses = [e["loss"] for e in map(json.loads, open(log)) if e["event"] == "step"]
    state = {i.name: onnx.numpy_helper.to_array(i).astype(np.float64)
             for i in onnx.load(out).graph.initializer}
    return np.array(losses), state


def distance(a, b, names):
    num = sum(float(((a[k] - b[k]) ** 2).sum()) for k in names)
    return num ** 0.5 / sum(float((b[k] ** 2).sum()) for k in names) ** 0.5


def measures(run, exact, names):
    """Distance of the weights, and of the losses."""
    return (distance(run[1], exact[1], names),
            float(np.abs(run[0] - exact[0]).max()) if len(run[0]) == len(exact[0]) else float("inf"))


def draw(shape, seed):
    torch.manual_seed(seed)
    return torch.randn(STEPS * BATCH, *shape), torch.randint(0, 5, (STEPS * BATCH,))


def compare(name, net, shape, bin_dir, work, rule, bn):
    model, wide = os.path.join(work, "model.onnx"), os.path.join(work, "wide.onnx")
    nets.export(copy.deepcopy(net), shape, model)
    onnx.save(peers.retyped(onnx.load(model), onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE), wide)
    lr = rate(rule, shape)
    label = "trajectory %s %s bn %s" % (name, rule, bn)
    theirs, mine, double = [], [], []
    for seed in range(DRAWS):
        x, y = draw(shape, 11 + seed)
        exact = torch_run(net, x, y, rule, lr, bn, torch.float64)
        ours = our_run(bin_dir, work, model, x, y, rule, lr, bn)
        # Exporters may rename what they transpose; all that kept its name is compared.
        names = [k for k in exact[1] if k in ours[1] and ours[1][k].shape == exact[1][k].shape]
        mine.append(measures(ours, exact, names))
        theirs.append(measures(torch_run(net, x, y, rule, lr, bn, torch.float32), exact, names))
        if seed == 0:
            double = measures(our_run(bin_dir, work, wide, x, y, rule, lr, bn), exact, names)
    enough = len(names) >= len(exact[1]) // 2
    good = peers.say(enough and max(double) <= DOUBLE, "%s in double: weights %.2g, losses %.2g, %d of %d tensors"
                     % (label, *double, len(names), len(exact[1])))
    (w, l), (base_w, base_l) = np.median(mine, 0), np.median(theirs, 0)
    # A number that is stored in single precision is known to 6e-8 of itself at best.
    ratio = max(w / (base_w + 1e-9), l / (base_l + 1e-7))
    text = "%s: weights %.2g (PyTorch float32 %.2g), losses %.2g (%.2g)" % (label, w, base_w, l, base_l)
    return good & peers.say(enough and ratio <= FACTOR, text)


def main():
    warnings.filterwarnings("ignore")
    torch.set_num_threads(2)
    bin_dir, work = sys.argv[1], sys.argv[2]
    os.makedirs(work, exist_ok=True)
    good = True
    for name in sys.argv[4:] or nets.NETS:
        net, shape = nets.build(name)
        for rule in RULES:
            for bn in ("frozen", "auto") if nets.has_batch_norm(net) else ("auto",):
                good &= compare(name, net, shape, bin_dir, work, rule, bn)
    sys.exit(0 if good else 1)


main()
