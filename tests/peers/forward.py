"""Forward passes: onnx-run against ONNX Runtime, for real files and for whole nets with random weights.

usage: forward.py BIN_DIR WORK_DIR SHARED_DIR [NAME ...]        prints ok / not ok / skip lines

ONNX Runtime computes half precision in half precision, onnx-run in single: a half precision file is compared
after its tensors were widened, and as it is stored with the tolerance of what half precision can hold.
"""
import glob
import os
import sys
import warnings

import numpy as np
import onnx
import torch
import torchvision
from torch import nn

import nets
import peers

TOLERANCE = 1e-4                # real files
NET_TOLERANCE = 1e-5            # nets with random weights, relative to the largest output
HALF_TOLERANCE = 1e-3           # outputs of softmax near 1 have steps of 4.9e-4
OPEN_SIZE = {"ppocr-cls-paddle2onnx.onnx": (48, 192)}   # height and width where the file leaves them open


def vit():
    return torchvision.models.VisionTransformer(image_size=64, patch_size=16, num_layers=2, num_heads=4,
                                                hidden_dim=48, mlp_dim=96, num_classes=10)


def small_vgg():
    return nn.Sequential(torchvision.models.vgg11_bn().features, nn.Flatten(), nn.Linear(2048, 10))


class Leftovers(nn.Module):
    """What the classifiers leave out: transposed, dilated, grouped and 1-D convolutions, other pools and norms."""

    def __init__(self):
        super().__init__()
        self.down = nn.Conv2d(3, 12, 5, stride=3, padding=4, dilation=2, groups=3)
        self.norm = nn.GroupNorm(4, 12)
        self.up = nn.ConvTranspose2d(12, 8, 3, stride=2, padding=1, output_padding=1, groups=2)
        self.inst = nn.InstanceNorm2d(8, affine=True)
        self.slope = nn.PReLU(8)
        self.pool = nn.MaxPool2d(3, 2, 1, ceil_mode=True)
        self.mean = nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False)
        self.line = nn.Conv1d(8, 6, 4, stride=2, padding=3, padding_mode="zeros")
        self.fc = nn.Linear(6, 7)

    def forward(self, x):
        x = nn.functional.elu(self.norm(self.down(x)))
        x = self.slope(self.inst(self.up(x)))
        x = torch.cat([self.pool(x), self.mean(x)], 2)
        x = nn.functional.softplus(nn.functional.pad(x, (1, 2, 0, 1), "reflect"))
        x = nn.functional.interpolate(x, scale_factor=1.5, mode="bilinear", align_corners=False)
        x = self.line(x.flatten(2))
        return torch.log_softmax(self.fc(nn.functional.hardswish(x.mean(2)) - x.std(2)), 1)


tv = torchvision.models
NETS = {        # name: module, shape of a sample, opset
    **{name: (make, shape, 13) for name, (make, shape) in nets.NETS.items()},
    "leftovers": (Leftovers, (3, 33, 41), 11),
    "vit": (vit, (3, 64, 64), 14),
    "vgg11_bn": (small_vgg, (3, 64, 64), 9),
    "densenet121": (lambda: tv.densenet121(num_classes=10), (3, 64, 64), 12),
    "googlenet": (lambda: tv.googlenet(num_classes=10, aux_logits=False, init_weights=False), (3, 96, 96), 13),
    "inception_v3": (lambda: tv.inception_v3(num_classes=10, aux_logits=False, init_weights=False),
                     (3, 96, 96), 13),
    "shufflenet_v2_x0_5": (lambda: tv.shufflenet_v2_x0_5(num_classes=10), (3, 64, 64), 13),
    "mnasnet0_5": (lambda: tv.mnasnet0_5(num_classes=10), (3, 64, 64), 13),
    "mobilenet_v3_small": (lambda: tv.mobilenet_v3_small(num_classes=10), (3, 64, 64), 14),
    "efficientnet_b0": (lambda: tv.efficientnet_b0(num_classes=10), (3, 64, 64), 13),
    "regnet_y_400mf": (lambda: tv.regnet_y_400mf(num_classes=10), (3, 64, 64), 13),
    "resnext50_32x4d": (lambda: tv.resnext50_32x4d(num_classes=10), (3, 64, 64), 13),
    "convnext_tiny": (lambda: tv.convnext_tiny(num_classes=10), (3, 64, 64), 17),
    "swin_t": (lambda: tv.swin_t(num_classes=10), (3, 64, 64), 13),
    "segmentation": (lambda: Main(tv.segmentation.lraspp_mobilenet_v3_large(weights_backbone=None)),
                     (3, 64, 64), 12),
}


class Main(nn.Module):
    """The first of the outputs that a module names."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        return next(iter(self.net(x).values()))


def random_input(model, name, batch):
    value = peers.inputs(model)[0]
    shape = peers.dims(value)
    shape[0] = shape[0] or batch
    for axis, size in zip((2, 3), OPEN_SIZE.get(name, (64, 64))):
        if len(shape) > axis and shape[axis] is None:
            shape[axis] = size
    return np.random.default_rng(len(name) + batch).standard_normal(shape).astype(np.float32)


def compare(label, bin_dir, work, path, x, tolerance=TOLERANCE, theirs_of=None, floor=1.0):
    try:
        mine = peers.ours(bin_dir, work, path, x)
    except peers.Fault as fault:
        peers.skip("%s: %s" % (label, fault))
        return True
    theirs = peers.in_ort(work, theirs_of or path, x)
    worst = max(peers.gap(a, b, floor) for a, b in zip(mine, theirs))
    return peers.say(worst <= tolerance, "%s agrees with ONNX Runtime to %.2g" % (label, worst))


def check_file(path, bin_dir, work):
    name = os.path.basename(path)
    model = onnx.load(path)
    half = peers.inputs(model)[0].type.tensor_type.elem_type == onnx.TensorProto.FLOAT16
    good = True
    for batch in (1,) if peers.dims(peers.inputs(model)[0])[0] else (1, 3):
        x = random_input(model, name, batch)
        label = "%s, batch %d" % (name, len(x))
        if half:
            wide = os.path.join(work, "wide.onnx")
            onnx.save(peers.retyped(model, onnx.TensorProto.FLOAT16, onnx.TensorProto.FLOAT), wide)
            good &= compare(label + ", as float32", bin_dir, work, wide, x)
            good &= compare(label + ", half precision", bin_dir, work, path, x.astype(np.float16).astype(
                np.float32), HALF_TOLERANCE, wide)
        else:
            good &= compare(label, bin_dir, work, path, x)
    return good


def check_net(name, bin_dir, work):
    torch.manual_seed(7)
    make, shape, opset = NETS[name]
    path = os.path.join(work, "model.onnx")
    net = nets.without_dropout(make())
    nets.unalike(net)
    try:
        nets.export(net, shape, path, opset)
    except torch.onnx.errors.OnnxExporterError as fault:
        peers.skip("%s: PyTorch cannot export it (%s)" % (name, str(fault).split("\n")[0][:100]))
        return True
    good = True
    for batch in (1, 3):
        x = random_input(onnx.load(path), name, batch)
        good &= compare("%s, batch %d" % (name, batch), bin_dir, work, path, x, NET_TOLERANCE, floor=1e-30)
    return good


def main():
    warnings.filterwarnings("ignore")
    bin_dir, work, shared = sys.argv[1:4]
    os.makedirs(work, exist_ok=True)
    only = sys.argv[4:]
    files = sorted(glob.glob(os.path.join(shared, "models", "*.onnx")))
    if not files:
        peers.skip("forward: no ../shared/models here")
    good = True
    for path in files:
        if not only or os.path.basename(path) in only:
            good &= check_file(path, bin_dir, work)
    for name in NETS:
        if not only or name in only:
            good &= check_net(name, bin_dir, work)
    sys.exit(0 if good else 1)


main()
