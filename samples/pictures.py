"""Fashion-MNIST as samples: PNG folders of classes 5-9, IDX files of classes 0-4 for the base model.

usage: pictures.py DATA_DIR OUT_DIR WORK_DIR        needs nothing but Python's standard library
"""
import gzip
import os
import struct
import sys
import zlib

NAMES = ["tshirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot"]
TRAIN, TEST = 5, 100            # pictures of each new class
BASE = 6000                     # pictures of each old class that the base model learns from


def read(path):
    with gzip.open(path, "rb") as f:
        head = f.read(4)
        dims = struct.unpack(">%dI" % head[3], f.read(4 * head[3]))
        return dims, f.read()


def png(pixels, width, height):
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    rows = b"".join(b"\0" + pixels[y * width:(y + 1) * width] for y in range(height))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)) +
            chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b""))


def folders(images, labels, out, count):
    (_, height, width), pixels = images
    for c in range(5, 10):
        folder = os.path.join(out, NAMES[c])
        os.makedirs(folder, exist_ok=True)
        of_class = [i for i, x in enumerate(labels[1]) if x == c][:count]
        for k, i in enumerate(of_class):
            with open(os.path.join(folder, "%s%03d.png" % (NAMES[c], k + 1)), "wb") as f:
                f.write(png(pixels[i * width * height:(i + 1) * width * height], width, height))


def idx(images, labels, prefix, work):
    (_, height, width), pixels = images
    keep = [i for c in range(5) for i in [k for k, x in enumerate(labels[1]) if x == c][:BASE]]
    with open(os.path.join(work, prefix + "images.idx"), "wb") as f:
        f.write(struct.pack(">4B3I", 0, 0, 8, 3, len(keep), height, width))
        for i in keep:
            f.write(pixels[i * width * height:(i + 1) * width * height])
    with open(os.path.join(work, prefix + "labels.idx"), "wb") as f:
        f.write(struct.pack(">4BI", 0, 0, 8, 1, len(keep)) + bytes(labels[1][i] for i in keep))


def main():
    data, out, work = sys.argv[1:4]
    for part, prefix, folder, count in (("train", "", "train", TRAIN), ("t10k", "val-", "test", TEST)):
        images = read(os.path.join(data, part + "-images-idx3-ubyte.gz"))
        labels = read(os.path.join(data, part + "-labels-idx1-ubyte.gz"))
        folders(images, labels, os.path.join(out, folder), count)
        idx(images, labels, prefix, work)
    with open(os.path.join(work, "labels.txt"), "w") as f:
        f.write("".join(NAMES[c] + "\n" for c in range(5)))


main()
