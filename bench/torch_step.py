"""Training speed of PyTorch: forward, backward and a step of SGD.

usage: torch_step.py NET BATCH THREADS STEPS LAYOUT     LAYOUT: nchw or nhwc
One line of JSON: seconds of each step, peak memory of the process in bytes.
"""
import json
import resource
import sys
import time

import torch

import nets


def main():
    name, batch, threads, steps, layout = sys.argv[1], *map(int, sys.argv[2:5]), sys.argv[5]
    torch.set_num_threads(threads)
    net = nets.build(name)
    net.train()
    x = torch.rand(batch, *nets.SHAPE) * 2 - 1
    y = torch.arange(batch) % 10
    if layout == "nhwc":
        net = net.to(memory_format=torch.channels_last)
        x = x.contiguous(memory_format=torch.channels_last)
    optim = torch.optim.SGD(net.parameters(), lr=1e-6)
    seconds = []
    for i in range(steps + 1):
        since = time.perf_counter()
        optim.zero_grad(set_to_none=True)
        torch.nn.functional.cross_entropy(net(x), y).backward()
        optim.step()
        if i:
            seconds.append(time.perf_counter() - since)
    print(json.dumps({"seconds": seconds,
                      "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}))


main()
