"""Ten steps of training, here and in PyTorch.

PyTorch runs twice from the same weights, in float64 and in float32.  How far its float32 run ends up from its
float64 run is the measure: ours may be at most FACTOR times as far, in the losses and in the weights.

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

FACTOR = 3.0
STEPS, BATCH = 10, 8
RULES = {
    "sgd": (["--optim", "sgd", "--lr", "0.01", "--momentum", "0.9", "--weight-decay", "0.0001", "--decay-all"],
            lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9, weight_decay=0.0001)),
    "adamw": (["--optim", "adamw", "--lr", "0.001", "--weight-decay", "0.01", "--decay-all"],
              lambda p: torch.optim.AdamW(p, lr=0.001, weight_decay=0.01)),
}


def torch_run(net, x, y, rule, bn, dtype):
    net = copy.deepcopy(net).to(dtype)
    net.train()
    if bn == "frozen":
        for m in net.modules():
            if isinstance(m, torch.nn.BatchNorm2d):
                m.eval()
    optim = RULES[rule][1](net.parameters())
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


def our_run(bin_dir, work, model, rule, bn):
    out, log = os.path.join(work, "out.onnx"), os.path.join(work, "out.jsonl")
    free = subprocess.run([os.path.join(bin_dir, "onnx-freeze"), "--none", model], check=True,
                          stdout=subprocess.PIPE).stdout
    subprocess.run([os.path.join(bin_dir, "onnx-train"), "--data",
                    os.path.join(work, "x.npy") + "," + os.path.join(work, "y.npy"), "--batch", str(BATCH),
                    "--epochs", "1", "--no-shuffle", "--schedule", "constant", "--bn", bn, "--no-keep-best",
                    "--events", log, "-q", "-o", out] + RULES[rule][0], input=free, check=True)
    losses = [e["loss"] for e in map(json.loads, open(log)) if e["event"] == "step"]
    state = {i.name: onnx.numpy_helper.to_array(i).astype(np.float64)
             for i in onnx.load(out).graph.initializer}
    return np.array(losses), state


def distance(a, b, names):
    num = sum(float(((a[k] - b[k]) ** 2).sum()) for k in names)
    return num ** 0.5 / sum(float((b[k] ** 2).sum()) for k in names) ** 0.5


def compare(name, net, shape, bin_dir, work, rule, bn):
    torch.manual_seed(11)
    x, y = torch.randn(STEPS * BATCH, *shape), torch.randint(0, 5, (STEPS * BATCH,))
    np.save(os.path.join(work, "x.npy"), x.numpy())
    np.save(os.path.join(work, "y.npy"), y.numpy())
    model = os.path.join(work, "model.onnx")
    nets.export(copy.deepcopy(net), shape, model)
    exact, single = (torch_run(net, x, y, rule, bn, d) for d in (torch.float64, torch.float32))
    ours = our_run(bin_dir, work, model, rule, bn)
    # Exporters may rename what they transpose; all that kept its name is compared.
    names = [k for k in exact[1] if k in ours[1] and ours[1][k].shape == exact[1][k].shape]
    base = distance(single[1], exact[1], names) + 1e-9
    here = distance(ours[1], exact[1], names)
    loss_base = float(np.abs(single[0] - exact[0]).max()) + 1e-7
    loss_here = float(np.abs(ours[0] - exact[0]).max()) if len(ours[0]) == STEPS else float("inf")
    good = here <= FACTOR * base and loss_here <= FACTOR * loss_base and len(names) >= len(exact[1]) // 2
    print("%s - trajectory %s %s bn %s: weights %.2g (PyTorch float32 %.2g), losses %.2g (%.2g), %d of %d tensors"
          % ("ok" if good else "not ok", name, rule, bn, here, base, loss_here, loss_base, len(names),
             len(exact[1])), flush=True)
    return good


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
