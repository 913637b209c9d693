"""Every family of torchvision's classifiers, random weights, the smallest of each (where that has 30 million numbers:
fewer of the same layers): forward, and one step through all layers.

Forward, in inference mode: onnx-run against PyTorch to FORWARD of the largest output.

One step of SGD at a rate of 1: what a weight changes by is its gradient.  In double each tensor's change must be
PyTorch's float64 to DOUBLE of its length (a change that is 0 by its nature, as of a bias in front of a trained
BatchNormalization, is rounding; so FLOOR of the mean length of all is added).  In single, all changes together must
be PyTorch's float64 to SINGLE: mostly they are to 1e-6, but where rounding tips one ReLU or maximum over, its
neighbours' gradients are others, in PyTorch's float32 as well (to 0.01).

usage: families.py BIN_DIR WORK_DIR SHARED_DIR [NAME ...]       prints ok / not ok / skip lines
"""
import copy
import os
import sys
import time
import warnings

import numpy as np
import onnx
import torch
import torchvision
from torch import nn

import nets
import peers
import training

FORWARD, DOUBLE, FLOOR, SINGLE = 1e-4, 1e-6, 1e-5, 0.05
BATCH = CLASSES = 2
tv = torchvision.models


def small_vgg(make):
    """Without its 120 million numbers between the last pool and the classes: they add time and nothing else."""
    return nn.Sequential(make().features, nn.Flatten(), nn.Linear(512, 64), nn.ReLU(), nn.Linear(64, CLASSES))


def small_alexnet():
    net = tv.alexnet()
    return nn.Sequential(net.features, nn.Flatten(), nn.Linear(256, 64), nn.ReLU(), nn.Linear(64, CLASSES))


def plain(make, **options):
    return lambda: damped(make(num_classes=CLASSES, **options))


def damped(net):
    """Residual branches a quarter as strong, and channels mostly on where there are none: drawn at random, 50 layers
    multiply rounding by 1000, in PyTorch, too."""
    with torch.no_grad():
        for m in net.modules():
            if isinstance(m, tv.resnet.Bottleneck):
                m.bn3.weight.mul_(0.25)
            if isinstance(m, (tv.efficientnet.MBConv, tv.efficientnet.FusedMBConv)) and m.use_res_connect:
                m.block[-1][1].weight.mul_(0.25)
            if isinstance(m, tv.inception.BasicConv2d):
                m.bn.bias.add_(1.0)
    return net


FAMILIES = {    # name: module, size of the picture, opset
    "alexnet": (small_alexnet, 64, 13),
    "vgg11": (lambda: small_vgg(tv.vgg11), 32, 13),
    "vgg11_bn": (lambda: small_vgg(tv.vgg11_bn), 32, 13),
    "resnet18": (plain(tv.resnet18), 64, 13),
    "resnet50": (plain(tv.resnet50), 64, 13),
    "resnext50_32x4d": (plain(tv.resnext50_32x4d), 64, 13),
    "wide_resnet": (plain(tv.ResNet, block=tv.resnet.Bottleneck, layers=[1, 1, 1, 1], width_per_group=128), 64, 13),
    "squeezenet1_0": (plain(tv.squeezenet1_0), 64, 13),
    "squeezenet1_1": (plain(tv.squeezenet1_1), 64, 13),
    "densenet121": (plain(tv.densenet121), 64, 13),
    "inception_v3": (plain(tv.inception_v3, aux_logits=False, init_weights=False), 128, 13),
    "googlenet": (plain(tv.googlenet, aux_logits=False, init_weights=False), 64, 13),
    "mobilenet_v2": (plain(tv.mobilenet_v2), 64, 13),
    "mobilenet_v3_small": (plain(tv.mobilenet_v3_small), 64, 14),
    "mnasnet0_5": (plain(tv.mnasnet0_5), 64, 13),
    "shufflenet_v2_x0_5": (plain(tv.shufflenet_v2_x0_5), 64, 13),
    "efficientnet_b0": (plain(tv.efficientnet_b0), 64, 13),
    "efficientnet_v2_s": (plain(tv.efficientnet_v2_s), 64, 13),
    "regnet_x_400mf": (plain(tv.regnet_x_400mf), 64, 13),
    "regnet_y_400mf": (plain(tv.regnet_y_400mf), 64, 13),
    "convnext_tiny": (plain(tv.convnext_tiny), 64, 17),
    "vit": (plain(tv.VisionTransformer, image_size=64, patch_size=16, num_layers=2, num_heads=12, hidden_dim=768,
                  mlp_dim=3072), 64, 14),
    "swin_t": (plain(tv.swin_t), 64, 14),
    "swin_v2_t": (plain(tv.swin_v2_t), 64, 14),
    "maxvit": (plain(tv.MaxVit, input_size=(64, 64), stem_channels=16, partition_size=2, head_dim=16,
                     block_channels=[16, 32, 64, 128], block_layers=[1, 1, 1, 1], stochastic_depth_prob=0.0), 64, 14),
}


def zero(g, x):
    """Tensor.zero_ of Swin's second version, which torch.onnx has no words for."""
    return g.op("Mul", x, g.op("Constant", value_t=torch.tensor(0.0)))


def exported(name, net, size, opset, work):
    """The net as a file; one that is there already serves again if it holds the same numbers."""
    path = os.path.join(work, "%s-%d-%d.onnx" % (name, size, opset))
    state = {k: v.numpy().astype(np.float64) for k, v in net.state_dict().items() if v.is_floating_point()}
    kept = training.stored(path) if os.path.exists(path) else {}
    if not kept or any(k in kept and not np.array_equal(kept[k], state[k]) for k in state):
        nets.export(copy.deepcopy(net), (3, size, size), path + ".new", opset)
        os.rename(path + ".new", path)
    return path


def forward(name, net, path, x, bin_dir, work):
    with torch.no_grad():
        want = copy.deepcopy(net).eval()(x).numpy()
    have = peers.ours(bin_dir, work, path, x.numpy())[0]
    gap, apart = peers.gap(have, want, 1e-30), float(np.abs(want[0] - want[1]).max() / np.abs(want).max())
    return peers.say(gap <= FORWARD and apart > 1e-3, "%s: outputs agree to %.2g (two pictures' differ by %.2g)"
                     % (name, gap, apart))


def sgd(parameters):
    return torch.optim.SGD(parameters, lr=1.0)


def changes(start, end, names):
    return {k: end[k] - start[k] for k in names}


def worst(have, want):
    """The tensor that is furthest off, by its own length; and by how much."""
    length = {k: np.linalg.norm(v) for k, v in want.items()}
    floor = FLOOR * float(np.mean(list(length.values())))
    off = {k: float(np.linalg.norm(have[k] - want[k])) / (length[k] + floor) for k in want}
    off = {k: v if np.isfinite(v) else np.inf for k, v in off.items()}
    return max(off.items(), key=lambda item: item[1])


def step(label, net, path, x, y, bn, bin_dir, work):
    start = training.stored(path)
    options = ["--optim", "sgd", "--lr", "1", "--momentum", "0", "--weight-decay", "0"]
    frozen = [k for k, b in net.named_buffers() if k in start and b.is_floating_point() and "running_" not in k]
    exact = training.in_torch(net, x, y, sgd, bn, torch.float64, BATCH)[1]
    mine = training.ours(bin_dir, work, path, x, y, options, bn, BATCH, frozen)[1]
    wide = os.path.join(work, "wide.onnx")
    onnx.save(peers.retyped(onnx.load(path), onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE), wide)
    double = training.ours(bin_dir, work, wide, x, y, options, bn, BATCH, frozen)[1]
    os.remove(wide)
    learnt = [k for k, p in net.named_parameters() if p.requires_grad]
    names = [k for k in exact if k in start and start[k].shape == exact[k].shape]
    lost = sorted(set(learnt) - set(names))
    want = changes(start, exact, names)
    tensor, off = worst(changes(start, double, names), want)
    good = peers.say(off <= DOUBLE and len(lost) <= len(learnt) // 8,
                     "%s in double: %.2g off (%s), %d tensors%s" % (
                         label, off, tensor, len(names), "; not by name: %d" % len(lost) if lost else ""))
    off = training.distance(changes(start, mine, names), want, names)
    return good & peers.say(off <= SINGLE, "%s: %.2g off" % (label, off))


def check(name, bin_dir, work):
    make, size, opset = FAMILIES[name]
    net = nets.prepared(make, (3, size, size), 4)
    try:
        path = exported(name, net, size, opset, work)
    except (torch.onnx.errors.OnnxExporterError, RuntimeError) as fault:
        peers.skip("%s: PyTorch cannot export it (%s)" % (name, str(fault).split("\n")[0][:100]))
        return True
    torch.manual_seed(3)
    x, y = torch.randn(BATCH, 3, size, size), torch.arange(BATCH) % CLASSES
    good = forward(name, net, path, x, bin_dir, work)
    for bn in ("frozen", "auto") if nets.has_batch_norm(net) else ("auto",):
        good &= step("%s, a step, bn %s" % (name, bn), net, path, x, y, bn, bin_dir, work)
    return good


def main():
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)      # two wait for each other longer than they compute, at a batch of 2
    torch.onnx.register_custom_op_symbolic("aten::zero", zero, 9)
    bin_dir, work = sys.argv[1], sys.argv[2]
    os.makedirs(work, exist_ok=True)
    good = True
    for name in sys.argv[4:] or FAMILIES:
        begun = time.time()
        try:
            good &= check(name, bin_dir, work)
        except (peers.Fault, training.subprocess.CalledProcessError) as fault:
            good = peers.say(False, "%s: %s" % (name, fault))
        print("# %s: %.1f s" % (name, time.time() - begun), flush=True)
    sys.exit(0 if good else 1)


main()
