"""The same steps of training in PyTorch and in onnx-train: for trajectory.py and families.py."""
import copy
import json
import os
import subprocess

import numpy as np
import onnx
import onnx.numpy_helper
import torch


def in_torch(net, x, y, optimiser, bn, dtype, batch):
    """One pass over x in its order, optimiser(parameters); the losses, and the state behind it in float64."""
    net = copy.deepcopy(net).to(dtype)
    net.train()
    if bn == "frozen":
        for m in net.modules():
            if isinstance(m, torch.nn.BatchNorm2d):
                m.eval()
    optim = optimiser(net.parameters())
    losses = []
    for i in range(0, len(x), batch):
        optim.zero_grad()
        loss = torch.nn.functional.cross_entropy(net(x[i:i + batch].to(dtype)), y[i:i + batch])
        loss.backward()
        optim.step()
        losses.append(loss.item())
    state = {k: v.to(torch.float64).numpy() for k, v in net.state_dict().items() if v.is_floating_point()}
    return np.array(losses), state


def stored(path):
    """What a file holds, in float64, by name."""
    return {t.name: onnx.numpy_helper.to_array(t).astype(np.float64) for t in onnx.load(path).graph.initializer}


def ours(bin_dir, work, model, x, y, options, bn, batch, frozen=()):
    """The same pass by onnx-train through all layers; options: the optimiser's; frozen: names of constants that a file
    cannot tell from weights."""
    np.save(os.path.join(work, "x.npy"), x.numpy())
    np.save(os.path.join(work, "y.npy"), y.numpy())
    out, log = os.path.join(work, "out.onnx"), os.path.join(work, "out.jsonl")
    keep = [word for name in frozen for word in ("--match", name)]
    free = subprocess.run([os.path.join(bin_dir, "onnx-freeze"), "-q", "--none", *keep, model], check=True,
                          stdout=subprocess.PIPE).stdout
    subprocess.run([os.path.join(bin_dir, "onnx-train"), "--data",
                    os.path.join(work, "x.npy") + "," + os.path.join(work, "y.npy"), "--batch", str(batch),
                    "--threads", "1", "--epochs", "1", "--no-shuffle", "--schedule", "constant", "--bn", bn,
                    "--no-keep-best", "--events", log, "-q", "-o", out] + options, input=free, check=True)
    losses = [e["loss"] for e in map(json.loads, open(log)) if e["event"] == "step"]
    return np.array(losses), stored(out)


def distance(a, b, names):
    """Euclidean, over all tensors of these names, relative to b."""
    num = sum(float(((a[k] - b[k]) ** 2).sum()) for k in names)
    return num ** 0.5 / sum(float((b[k] ** 2).sum()) for k in names) ** 0.5
