"""The nets of the comparison: usual shapes, random weights.   usage: nets.py DIR   exports them all"""
import os
import sys

import torch
import torchvision
from torch import nn


class Block(nn.Module):
    """Pre-norm attention and a feed-forward part."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        _, t, w = x.shape
        q, k, v = self.qkv(self.norm1(x)).reshape(-1, t, 3, self.heads, w // self.heads).permute(
            2, 0, 3, 1, 4).unbind(0)
        a = torch.softmax(q @ k.transpose(-2, -1) * (w // self.heads) ** -0.5, -1)
        x = x + self.out((a @ v).transpose(1, 2).reshape(-1, t, w))
        return x + self.down(nn.functional.gelu(self.up(self.norm2(x))))


class Encoder(nn.Module):
    """Four blocks of width 192 over 64 tokens, mean, 10 classes."""

    def __init__(self):
        super().__init__()
        self.blocks = nn.Sequential(*[Block(192, 3) for _ in range(4)])
        self.norm, self.head = nn.LayerNorm(192), nn.Linear(192, 10)

    def forward(self, x):
        return self.head(self.norm(self.blocks(x)).mean(1))


PICTURE = (3, 224, 224)
NETS = {
    "mobilenet_v2": (lambda: torchvision.models.mobilenet_v2(num_classes=10), PICTURE),
    "resnet18": (lambda: torchvision.models.resnet18(num_classes=10), PICTURE),
    "squeezenet1_1": (lambda: torchvision.models.squeezenet1_1(num_classes=10), PICTURE),
    "encoder": (Encoder, (64, 192)),
}


def build(name):
    torch.manual_seed(7)
    make, shape = NETS[name]
    net = make()
    with torch.no_grad():       # no two tensors alike: the exporter stores equal ones once
        for p in net.parameters():
            p.add_(torch.randn_like(p) * 1e-3)
        for b in net.buffers():
            if b.is_floating_point():
                b.add_(torch.rand_like(b) * 1e-2)
    return net, shape


def export_all(folder):
    for name in NETS:
        net, shape = build(name)
        path = os.path.join(folder, name + ".onnx")
        if os.path.exists(path):
            continue
        net.eval()
        torch.onnx.export(net, torch.zeros(2, *shape), path + ".part", input_names=["x"], output_names=["y"],
                          dynamic_axes={"x": {0: "N"}, "y": {0: "N"}}, opset_version=13,
                          training=torch.onnx.TrainingMode.PRESERVE, do_constant_folding=False)
        os.rename(path + ".part", path)


if __name__ == "__main__":
    export_all(sys.argv[1])
