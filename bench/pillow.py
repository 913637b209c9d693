"""How fast Pillow and NumPy read pictures: decode, Resize(256) and CenterCrop(224), (x - mean) / std as [3,224,224].

usage: pillow.py FOLDER ROUNDS      one thread; processor time, the fastest round, one line of JSON
"""
import glob
import json
import os
import sys
import time

import numpy as np
from PIL import Image

MEAN, STD = np.array([.485, .456, .406], np.float32), np.array([.229, .224, .225], np.float32)


def read(path):
    picture = Image.open(path).convert("RGB")
    w, h = picture.size
    wide, high = (256, 256 * h // w) if w <= h else (256 * w // h, 256)
    picture = picture.resize((wide, high), Image.BILINEAR)
    left, top = round((wide - 224) / 2), round((high - 224) / 2)
    x = np.asarray(picture.crop((left, top, left + 224, top + 224)), np.float32)
    x /= 255
    x -= MEAN
    x /= STD
    return np.ascontiguousarray(x.transpose(2, 0, 1))


def main():
    paths = sorted(glob.glob(os.path.join(sys.argv[1], "*", "*.jpg")))
    best = float("inf")
    for _ in range(int(sys.argv[2])):
        since = time.thread_time()
        for p in paths:
            read(p)
        best = min(best, time.thread_time() - since)
    print(json.dumps({"pictures": len(paths), "per_s": len(paths) / best}))


main()
