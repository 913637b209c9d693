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


class VisionTransformer(nn.Module):
    """The shape of ViT-Tiny: 16 x 16 patches and a class token make 197 tokens of width 192; 12 blocks, 3 heads."""

    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(3, 192, 16, 16)
        self.token = nn.Parameter(torch.randn(1, 1, 192) * 0.02)
        self.place = nn.Parameter(torch.randn(1, 197, 192) * 0.02)
        self.blocks = nn.Sequential(*[Block(192, 3) for _ in range(12)])
        self.norm, self.head = nn.LayerNorm(192), nn.Linear(192, 1000)

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.place
        return self.head(self.norm(self.blocks(x))[:, 0])


SHAPE = (3, 224, 224)
CLASSES = 1000
models = torchvision.models
NETS = {
    "mobilenet_v2": models.mobilenet_v2,
    "resnet18": models.resnet18,
    "resnet50": models.resnet50,
    "squeezenet1_1": models.squeezenet1_1,
    "efficientnet_b0": models.efficientnet_b0,
    "vit_tiny": VisionTransformer,
}


def build(name):
    torch.manual_seed(7)
    net = NETS[name]()
    with torch.no_grad():       # no two tensors alike: the exporter stores equal ones once
        for p in net.parameters():
            p.add_(torch.randn_like(p) * 1e-3)
        for b in net.buffers():
            if b.is_floating_point():
                b.add_(torch.rand_like(b) * 1e-2)
    return net


def export(name, path):
    net = build(name).eval()
    torch.onnx.export(net, torch.zeros(2, *SHAPE), path + ".part", input_names=["x"], output_names=["y"],
                      dynamic_axes={"x": {0: "N"}, "y": {0: "N"}}, opset_version=13,
                      training=torch.onnx.TrainingMode.PRESERVE, do_constant_folding=False)
    os.rename(path + ".part", path)


if __name__ == "__main__":
    for net_name in NETS:
        file = os.path.join(sys.argv[1], net_name + ".onnx")
        if not os.path.exists(file):
            export(net_name, file)
