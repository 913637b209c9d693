"""Forward passes of whole nets with random weights: onnx-run beside ONNX Runtime.

These are the nets of the other scripts, and what the families of classifiers (families.py) leave out.

usage: forward.py BIN_DIR WORK_DIR SHARED_DIR [NAME ...]        prints ok / not ok / skip lines
"""
import os
import sys
import warnings

import onnx
import torch
import torchvision
from torch import nn

import nets
import peers

TOLERANCE = 1e-5                # relative to the largest output


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
        x = peers.random_input(onnx.load(path), len(name) + batch, batch, (64, 64))
        good &= peers.beside_ort("%s, batch %d" % (name, batch), bin_dir, work, path, x, TOLERANCE, floor=1e-30)
    return good


def main():
    warnings.filterwarnings("ignore")
    bin_dir, work = sys.argv[1], sys.argv[2]
    os.makedirs(work, exist_ok=True)
    good = True
    for name in sys.argv[4:] or NETS:
        good &= check_net(name, bin_dir, work)
    sys.exit(0 if good else 1)


main()
