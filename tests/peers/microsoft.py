"""ONNX Runtime's own operators that are rows of our table, in forms that its CPU takes: onnx-run beside ONNX Runtime.

usage: microsoft.py BIN_DIR WORK_DIR SHARED_DIR         prints ok / not ok lines
"""
import sys

import numpy as np

import peers
import quantised
from quantised import NONE, f4, i32, u8

TOKENS = np.array([[3, 0, 4], [1, 2, 2]], np.int32)
KEYS = np.array([[1, 0, 1], [1, 1, 0]], np.int32)
LONG = np.array([[1, 0, 1, 1, 1, 1, 1], [1, 1, 0, 1, 1, 1, 0]], np.int32)
PAIRS = np.array([[[1, 1, 0, 0, 1], [1, 1, 1, 0, 1], [1, 0, 1, 1, 1]],
                  [[0, 1, 1, 1, 1], [1, 1, 0, 0, 0], [1, 1, 1, 1, 1]]], np.int32)


def projected(columns=48):
    return [f4(2, 3, 8), f4(8, columns), f4(columns)]


def three(keys=3):
    return [f4(2, 3, 16), f4(2, keys, 16), f4(2, keys, 16)]


def by_heads(length):
    return [f4(2, 2, length, 8), f4(2, 2, length, 8)]


NODES = [
    ("Attention", {"num_heads": 2}, projected() + [i32(2, 3)]),
    ("Attention", {"num_heads": 2, "mask_filter_value": -7.0}, projected() + [i32(2, 3, 0, 1)]),
    ("Attention", {"num_heads": 2}, projected() + [KEYS]),
    ("Attention", {"num_heads": 2}, projected() + [PAIRS[:, :, :3]]),
    ("Attention", {"num_heads": 2, "unidirectional": 1}, projected()),
    ("Attention", {"num_heads": 2, "unidirectional": 1, "scale": 0.3}, projected() + [KEYS]),
    ("Attention", {"num_heads": 2, "unidirectional": 1}, projected() + [NONE, f4(2, 2, 2, 4, 8)]),
    ("Attention", {"num_heads": 2, "unidirectional": 1}, projected() + [LONG, f4(2, 2, 2, 4, 8)]),
    ("Attention", {"num_heads": 2}, projected() + [NONE, NONE, f4(2, 2, 3, 3)]),
    ("Attention", {"num_heads": 2, "qkv_hidden_sizes": [16, 16, 8]}, projected(40)),
    ("MultiHeadAttention", {"num_heads": 2}, three(5) + [f4(48), i32(3, 5)]),
    ("MultiHeadAttention", {"num_heads": 2, "mask_filter_value": -9.0}, three(3) + [f4(48), KEYS]),
    ("MultiHeadAttention", {"num_heads": 2}, three(5) + [NONE, PAIRS]),
    ("MultiHeadAttention", {"num_heads": 2, "unidirectional": 1}, three() + [f4(48)]),
    ("MultiHeadAttention", {"num_heads": 2, "unidirectional": 1}, three() + [NONE, NONE, NONE] + by_heads(4)),
    ("MultiHeadAttention", {"num_heads": 2},
     [f4(2, 3, 16), f4(2, 5, 16), f4(2, 5, 24), f4(56), NONE, f4(1, 2, 3, 5)]),
    ("MultiHeadAttention", {"num_heads": 2, "scale": 0.2}, three() + [f4(48), LONG, f4(1, 1, 3, 7)] + by_heads(4)),
    ("MultiHeadAttention", {"num_heads": 2}, [f4(2, 3, 16)] + by_heads(5) + [f4(48)]),
    ("MultiHeadAttention", {"num_heads": 2}, [f4(2, 3, 16)] + by_heads(3) + [NONE, KEYS]),
    ("MultiHeadAttention", {"num_heads": 2}, three(5) + [NONE, i32(3, 5, 0, 3, 6, 0, 5, 10)]),
    ("MultiHeadAttention qk", {"num_heads": 2}, three(5) + [f4(48)]),
    ("MultiHeadAttention qk", {"num_heads": 2, "mask_filter_value": -9.0}, three(3) + [NONE, KEYS, f4(1, 1, 3, 3)]),
    ("MultiHeadAttention qk", {"num_heads": 2, "unidirectional": 1}, three() + [f4(48)]),
    ("SkipLayerNormalization", {"epsilon": 0.01}, [f4(2, 3, 8), f4(1, 3, 8), f4(8), f4(8), f4(8)]),
    ("SkipLayerNormalization", {}, [f4(2, 3, 8), f4(3, 8), f4(8)]),
    ("SkipSimplifiedLayerNormalization", {}, [f4(2, 3, 8), f4(2, 3, 8), f4(8), f4(8)]),
    ("EmbedLayerNormalization", {"epsilon": 0.01},
     [TOKENS, TOKENS % 2, f4(5, 8), f4(4, 8), f4(2, 8), f4(8), f4(8), KEYS]),
    ("EmbedLayerNormalization", {"mask_index_type": 0}, [TOKENS, NONE, f4(5, 8), f4(4, 8), NONE, f4(8), f4(8)]),
    ("EmbedLayerNormalization", {},
     [TOKENS, NONE, f4(5, 8), f4(4, 8), NONE, f4(8), f4(8), NONE, np.array([[2, 1, 0]], np.int32)]),
    ("Gelu", {}, [f4(2, 3)]),
    ("BiasGelu", {}, [f4(2, 3, 8), f4(8)]),
    ("FastGelu", {}, [f4(2, 3, 8), f4(8)]),
    ("QuickGelu", {"alpha": 1.3}, [f4(2, 3)]),
    ("FusedMatMul", {"transA": 1, "transBatchA": 1, "transB": 1, "alpha": 0.3}, [f4(4, 2, 3), f4(2, 5, 4)]),
    ("FusedMatMul", {"transB": 1, "transBatchB": 1}, [f4(2, 3, 4), f4(5, 2, 4)]),
    ("Inverse", {}, [f4(2, 3, 4, 4)]),
    ("FusedMatMul", {}, [f4(4), f4(2, 4, 3)]),
    ("FusedGemm", {"activation": "Relu", "transB": 1, "beta": 0.5}, [f4(3, 4), f4(5, 4), f4(5)]),
    ("FusedConv", {"activation": "Tanh", "pads": [1, 1, 1, 1]}, [f4(1, 2, 4, 4), f4(3, 2, 3, 3), f4(3), f4(1, 3, 4, 4)]),
    ("FusedConv", {"activation": "HardSigmoid", "activation_params": [0.3, 0.4]},
     [f4(1, 2, 4, 4), f4(3, 2, 3, 3), f4(3)]),
    ("RotaryEmbedding", {"is_packed_batching": 1},
     [f4(2, 2, 3, 8), np.array([[0, 1, 2], [2, 4, 1]]), f4(5, 4), f4(5, 4)]),
    ("GroupQueryAttention", {"num_heads": 4, "kv_num_heads": 2},
     [f4(2, 1, 64), f4(2, 1, 32), f4(2, 1, 32), f4(2, 2, 6, 16), f4(2, 2, 6, 16), i32(2, 4), i32(5)]),
    ("GroupQueryAttention", {"num_heads": 4, "kv_num_heads": 2, "local_window_size": 3},
     [f4(2, 1, 64), f4(2, 1, 32), f4(2, 1, 32), f4(2, 2, 6, 16), f4(2, 2, 6, 16), i32(2, 4), i32(5)]),
    ("GroupQueryAttention", {"num_heads": 2, "kv_num_heads": 2, "do_rotary": 1},
     [f4(2, 3, 32), f4(2, 3, 32), f4(2, 3, 32), NONE, NONE, i32(2, 2), i32(3), f4(6, 8), f4(6, 8)]),
    ("GroupQueryAttention", {"num_heads": 2, "kv_num_heads": 1},
     [f4(1, 3, 32), f4(1, 3, 16), f4(1, 3, 16), f4(1, 1, 2, 16), f4(1, 1, 2, 16), i32(4), i32(5)]),
    ("MatMulNBits", {"N": 5, "K": 40, "block_size": 32, "bits": 4, "accuracy_level": 1},
     [f4(2, 3, 40), u8(5, 2, 16), f4(10), u8(5, 1)]),
    ("MatMulNBits", {"N": 5, "K": 64, "block_size": 16, "bits": 2}, [f4(3, 64), u8(5, 4, 4), f4(20)]),
]


def main():
    bin_dir, work, _ = sys.argv[1:4]
    peers.fresh(work)
    quantised.beside(NODES, bin_dir, work)


if __name__ == "__main__":
    main()
