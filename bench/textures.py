"""JPEG photographs of nothing: 500 x 375, textures, edges and grain, five classes.

usage: textures.py DIR COUNT     about 50 KB each; those that are there already stay
"""
import multiprocessing
import os
import sys

import numpy as np
from PIL import Image

WIDTH, HEIGHT, CLASSES = 500, 375, 5


def clouds(rng):
    out = np.zeros((HEIGHT, WIDTH, 3), np.float32)
    for octave in range(7):
        small = rng.random((2 << octave, 2 << octave, 3)).astype(np.float32)
        out += np.stack([np.asarray(Image.fromarray(small[..., c]).resize((WIDTH, HEIGHT), Image.BICUBIC))
                         for c in range(3)], -1) / 1.6 ** octave
    out -= out.min()
    return out / out.max()


def picture(i):
    rng, kind = np.random.default_rng(i), i % CLASSES
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    wave = np.sin((x * np.cos(kind) + y * np.sin(kind)) * (0.05 + 0.05 * kind) + rng.random() * 6)[..., None]
    out = 0.75 * clouds(rng) + 0.12 * (wave > 0.3) + rng.normal(0, 0.025, (HEIGHT, WIDTH, 3))
    for _ in range(6):
        top, left = rng.integers(0, HEIGHT - 60), rng.integers(0, WIDTH - 60)
        high, wide = rng.integers(20, 60, 2)
        out[top:top + high, left:left + wide] = rng.random(3)
    return Image.fromarray((np.clip(out, 0, 1) * 255).astype(np.uint8))


def save(job):
    folder, i = job
    path = os.path.join(folder, "class%d" % (i % CLASSES), "%04d.jpg" % i)
    if not os.path.exists(path):
        picture(i).save(path + ".part", format="JPEG", quality=90)
        os.rename(path + ".part", path)


if __name__ == "__main__":
    for k in range(CLASSES):
        os.makedirs(os.path.join(sys.argv[1], "class%d" % k), exist_ok=True)
    with multiprocessing.Pool() as pool:
        pool.map(save, [(sys.argv[1], i) for i in range(int(sys.argv[2]))], 20)
