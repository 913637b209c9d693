"""Small whole nets with random weights, for comparing training with PyTorch.

Each entry of NETS builds a module for 5 classes and says what one input looks like.  Dropout is off, so that
the two programs do the same arithmetic.
"""
import torch
import torchvision
from torch import nn


class Encoder(nn.Module):
    """A transformer encoder with a class head: two blocks, pre-norm, GELU."""

    class Block(nn.Module):
        def __init__(self, width, heads):
            super().__init__()
            self.heads = heads
            self.norm1 = nn.LayerNorm(width)
            self.qkv = nn.Linear(width, 3 * width)
            self.out = nn.Linear(width, width)
            self.norm2 = nn.LayerNorm(width)
            self.up = nn.Linear(width, 4 * width)
            self.down = nn.Linear(4 * width, width)

        def forward(self, x):
            b, t, w = x.shape
            q, k, v = self.qkv(self.norm1(x)).reshape(-1, t, 3, self.heads, w // self.heads).permute(
                2, 0, 3, 1, 4).unbind(0)
            a = torch.softmax(q @ k.transpose(-2, -1) * (w // self.heads) ** -0.5, -1)
            x = x + self.out((a @ v).transpose(1, 2).reshape(-1, t, w))
            return x + self.down(nn.functional.gelu(self.up(self.norm2(x))))

    def __init__(self, width=32, heads=4, tokens=12):
        super().__init__()
        self.place = nn.Parameter(torch.randn(1, tokens, width) * 0.1)
        self.blocks = nn.Sequential(*[self.Block(width, heads) for _ in range(2)])
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, 5)

    def forward(self, x):
        return self.head(self.norm(self.blocks(x + self.place)).mean(1))


@torch.jit.script
def settle(x, w):
    """Turns until the numbers have settled down, each by what they are."""
    turns = 0
    while bool((x * x).mean() > 0.35) and turns < 6:
        if bool(x.sum() > 0):
            x = torch.tanh(x @ w)
        else:
            x = 0.8 * (x @ w) + 0.1
        turns += 1
    return x


class Deciding(nn.Module):
    """Control flow that depends on the numbers of a batch."""

    def __init__(self, width=16):
        super().__init__()
        self.first = nn.Linear(20, width)
        self.turn = nn.Parameter(torch.randn(width, width) * 0.25)
        self.head = nn.Linear(width, 5)

    def forward(self, x):
        return self.head(settle(self.first(x) * 1.5, self.turn))


def mlp():
    return nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 5))


def without_dropout(net):
    for m in net.modules():
        if isinstance(m, (nn.Dropout, torchvision.ops.StochasticDepth)):
            m.p = 0.0
    return net


NETS = {
    "mlp": (mlp, (20,)),
    "deciding": (Deciding, (20,)),
    "encoder": (Encoder, (12, 32)),
    "squeezenet1_1": (lambda: torchvision.models.squeezenet1_1(num_classes=5), (3, 48, 48)),
    "resnet18": (lambda: torchvision.models.resnet18(num_classes=5), (3, 48, 48)),
    "mobilenet_v2": (lambda: torchvision.models.mobilenet_v2(num_classes=5), (3, 48, 48)),
}


def unalike(net):
    """No two tensors alike: the exporter stores equal ones once, and what is stored once trains as one."""
    with torch.no_grad():
        for p in net.parameters():
            p.add_(torch.randn_like(p) * 1e-3)
        for b in net.buffers():
            if b.is_floating_point():
                b.add_(torch.rand_like(b) * 1e-2)


def build(name):
    make, shape = NETS[name]
    return prepared(make, shape), shape


def prepared(make, shape, batch=16):
    """A module for both programs: the same arithmetic every time, and no signal that dies or explodes."""
    torch.manual_seed(7)
    net = without_dropout(make())
    unalike(net)
    # ONNX stores these as float32: numbers that are exact there.
    for m in net.modules():
        if isinstance(m, nn.BatchNorm2d):
            m.momentum, m.eps = 0.125, 2.0 ** -17
        if isinstance(m, nn.LayerNorm):
            m.eps = 2.0 ** -17
    calibrate(net, shape, batch)
    return net


def calibrate(net, shape, batch):
    """Running statistics of a batch, as in a trained net: with others the signal of a frozen net dies or explodes."""
    norms = [m for m in net.modules() if isinstance(m, nn.BatchNorm2d)]
    kept = [m.momentum for m in norms]
    for m in norms:
        m.momentum = 1.0
    with torch.no_grad():
        net.train()(torch.randn(batch, *shape))
    for m, momentum in zip(norms, kept):
        m.momentum = momentum


def has_batch_norm(net):
    return any(isinstance(m, nn.BatchNorm2d) for m in net.modules())


def export(net, shape, path, opset=13):
    """The net in inference mode, BatchNormalization kept as a node, the batch symbolic."""
    net.eval()
    torch.onnx.export(net, torch.zeros(2, *shape), path, input_names=["x"], output_names=["y"],
                      dynamic_axes={"x": {0: "N"}, "y": {0: "N"}}, opset_version=opset,
                      training=torch.onnx.TrainingMode.PRESERVE, do_constant_folding=False)
