"""The same job in PyTorch: ten epochs of a new head on a frozen MobileNetV2, from a folder of JPEGs to an ONNX file.

usage: torch_head.py plain|cached FOLDER EPOCHS BATCH THREADS LAYOUT OUT [PICTURES]

plain: each epoch reads and decodes the pictures and runs the whole net.  cached: the features of the body are computed
once and the head is trained on those.  With PICTURES only so many are read, in one epoch, and the time of the
whole job is told from that (plain).  One line of JSON; the caller measures the time of the process.
"""
import json
import sys
import time

import torch
import torchvision
from torch import nn
from torchvision import transforms

import nets

FEATURES = 1280


def loader(folder, batch, threads, limit, shuffle):
    data = torchvision.datasets.ImageFolder(folder, transforms.Compose([
        transforms.Resize(256), transforms.CenterCrop(224), transforms.ToTensor(),
        transforms.Normalize([.485, .456, .406], [.229, .224, .225])]))
    size, classes = len(data), len(data.classes)
    if limit:
        data = torch.utils.data.Subset(data, range(0, size, max(1, size // limit)))
    return torch.utils.data.DataLoader(data, batch, shuffle=shuffle, num_workers=threads), size, classes


def step(head, optim, features, y):
    optim.zero_grad(set_to_none=True)
    nn.functional.cross_entropy(head(features), y).backward()
    optim.step()


def main():
    how, folder, epochs, batch, threads, layout, out = sys.argv[1:8]
    epochs, batch, threads, limit = int(epochs), int(batch), int(threads), int(sys.argv[8]) if len(sys.argv) > 8 else 0
    torch.set_num_threads(threads)
    memory = torch.channels_last if layout == "nhwc" else torch.contiguous_format
    net = nets.build("mobilenet_v2").eval().requires_grad_(False).to(memory_format=memory)
    net.classifier = nn.Identity()
    batches, size, classes = loader(folder, batch, threads, limit, how == "plain")
    head = nn.Linear(FEATURES, classes)
    optim = torch.optim.SGD(head.parameters(), lr=0.01, momentum=0.9)
    since, seen = time.perf_counter(), 0
    told = {}
    if how == "plain":
        for _ in range(1 if limit else epochs):
            for x, y in batches:
                step(head, optim, net(x.contiguous(memory_format=memory)), y)
                seen += len(y)
    else:
        with torch.no_grad():
            kept = [(net(x.contiguous(memory_format=memory)), y) for x, y in batches]
        features, labels = torch.cat([f for f, _ in kept]), torch.cat([y for _, y in kept])
        for _ in range(epochs):
            for i in torch.randperm(len(labels)).split(batch):
                step(head, optim, features[i], labels[i])
    if limit:
        spent = time.perf_counter() - since
        told = {"more_s": spent / seen * epochs * size - spent}
    net.classifier = head
    torch.onnx.export(net, torch.zeros(2, *nets.SHAPE), out, input_names=["x"], output_names=["y"],
                      dynamic_axes={"x": {0: "N"}, "y": {0: "N"}}, opset_version=13)
    print(json.dumps(told))


main()
