"""The cases of bench/operators: sizes as nets have them, every family, the patterns in which a family may be slow."""
import numpy as np

FEED = {"f": "float32", "d": "float64", "h": "float16", "b": "int8", "B": "uint8", "i": "int32", "l": "int64",
        "s": "int16", "?": "bool"}
MOVED = {"Transpose", "Dropout", "Identity"}       # ONNX Runtime would cut first, then move what is left
CASES = []


class Case:
    """arguments: "8x64" is a fed tensor of that size ("l:8x64": of another type), an array is a constant of the
    model, None is left out.  out: type letter and rank of each result ("f4"); without it those of the first input."""

    def __init__(self, name, op, arguments, out="", opset=21, domain="", **attrs):
        self.name, self.op, self.attrs, self.opset, self.domain = name, op, attrs, opset, domain
        self.inputs, self.feeds, self.consts = [], [], []
        for i, a in enumerate(arguments):
            label = "" if a is None else "x%d" % i
            self.inputs.append(label)
            if isinstance(a, str):
                kind, size = a.split(":") if ":" in a else ("f", a)
                self.feeds.append((label, FEED[kind], [int(d) for d in size.split("x")]))
            elif a is not None:
                self.consts.append((label, np.asarray(a, order="C")))
        self.elements = max(int(np.prod(dims)) for _, _, dims in self.feeds)
        self.shape = " ".join(a if isinstance(a, str) else "" if a is None else "(%s)" % "x".join(map(str, a.shape))
                              for a in arguments).strip()
        first = self.feeds[0]
        self.peer_level = "disabled" if op in MOVED else "all"
        self.outs = [(FEED[o[0]], int(o[1:])) for o in out.split()] or [(first[1], len(first[2]))]

    def numbers(self):
        """All inputs by name, in their order: made-up numbers for the fed ones."""
        made = dict(self.consts)
        for name, kind, dims in self.feeds:
            made[name] = index(2, *dims, kind=kind) if kind[0] in "biu" else real(*dims).astype(kind)
        if self.op == "Det":            # those of a series are singular
            made["x0"] = made["x0"] + 3 * np.eye(4, dtype=np.float32)
        return {name: made[name] for name in self.inputs if name}

    @staticmethod
    def row(values):
        return np.array(values, np.int64)


def case(name, op, *arguments, **more):
    CASES.append(Case(name, op, arguments, **more))


def real(*dims):
    n = int(np.prod(dims))
    return (((np.arange(n) * 40503) % 65536) / 32768 - 1).astype(np.float32).reshape(dims)


def whole(*values, kind=np.int64):
    return np.array(values, kind)


def index(top, *dims, kind=np.int64):
    return ((np.arange(int(np.prod(dims))) * 7919) % top).astype(kind).reshape(dims)


MAP, BIG, ROWS = "8x64x56x56", "8x64x112x112", "4096x1024"

for o in ("Relu LeakyRelu Sigmoid Tanh Exp Log Sqrt Abs Neg Erf Gelu HardSwish HardSigmoid Elu Selu Softplus Softsign "
          "Mish Sin Cos Tan Atan Asin Sinh Cosh Atanh Floor Ceil Round Sign Reciprocal Celu ThresholdedRelu").split():
    case(o, o, BIG)
for o in ("Not",):
    case(o, o, "?:" + BIG)
case("IsNaN", "IsNaN", BIG, out="?4")
case("IsInf", "IsInf", BIG, out="?4")
case("Clip", "Clip", BIG, np.float32(0), np.float32(6))
case("Gelu tanh", "Gelu", BIG, approximate="tanh")
case("Identity", "Identity", BIG)

for o in "Add Mul Div Max Mean".split():
    case(o + " same", o, BIG, BIG)
for o in "Add Sub Mul Div".split():
    case(o + " scalar", o, BIG, real(1) + 2)
    case(o + " row", o, ROWS, real(1024) + 2)
    case(o + " column", o, ROWS, real(4096, 1) + 2)
case("Add channel", "Add", MAP, real(64, 1, 1))
case("Add middle", "Add", "8x64x3136", real(8, 1, 3136))
case("Add pixel 49", "Mul", "64x512x7x7", real(64, 512, 1, 1))
case("Add short last", "Add", "1000000x4", real(4))
case("Add short column", "Add", "1000000x4", real(1000000, 1))
case("Add outer", "Add", "2048x1", real(1, 2048))
case("Pow 2", "Pow", BIG, np.float32(2))
case("Pow 3", "Pow", BIG, np.float32(3))
case("Pow .5", "Pow", BIG, np.float32(0.5))
case("Pow same", "Pow", MAP, MAP)
case("Mod real", "Mod", MAP, real(1) + 2, fmod=1)
case("PRelu", "PRelu", BIG, real(64, 1, 1))
for o in "Less Equal GreaterOrEqual".split():
    case(o, o, BIG, BIG, out="?4")
case("Equal row", "Equal", ROWS, real(1024), out="?2")
case("And", "And", "?:" + BIG, "?:" + BIG)
case("Where", "Where", "?:" + BIG, BIG, BIG, out="f4")
case("Where mask", "Where", "?:1x1x512x512", "8x8x512x512", np.float32(-1e9), out="f4")
for kind, letter in ((np.int64, "l"), (np.int32, "i"), (np.int8, "b"), (np.uint8, "B")):
    for o in "Add Mul Div Max".split():
        if letter in "bB" and o != "Max":
            continue
        case("%s %s" % (o, np.dtype(kind).name), o, letter + ":" + MAP, np.array([3], kind))
    case("Equal " + np.dtype(kind).name, "Equal", letter + ":" + MAP, np.array([3], kind), out="?4")
for o in "Relu Add Sqrt Sigmoid".split():
    case(o + " float16", o, *["h:" + MAP] * (2 if o == "Add" else 1))
    case(o + " float64", o, *["d:" + MAP] * (2 if o == "Add" else 1))
case("Mod int64", "Mod", "l:" + MAP, whole(7))
case("Pow int64", "Pow", "l:" + MAP, whole(2))
case("Neg int64", "Neg", "l:" + MAP)
case("Abs int32", "Abs", "i:" + MAP)
case("Sign int64", "Sign", "l:" + MAP)
case("Clip int64", "Clip", "l:" + MAP, np.int64(0), np.int64(6))
case("BitShift", "BitShift", "B:" + BIG, whole(1, kind=np.uint8), direction="LEFT")
case("BitwiseAnd", "BitwiseAnd", "i:" + BIG, whole(7, kind=np.int32))
case("BitwiseNot", "BitwiseNot", "i:" + BIG)

for o in "ReduceSum ReduceMean ReduceMax ReduceProd ReduceL2 ReduceLogSumExp ReduceSumSquare ReduceL1".split():
    case(o + " last", o, ROWS, whole(1))
    case(o + " first", o, ROWS, whole(0))
for o in "ReduceSum ReduceMax".split():
    case(o + " middle", o, "64x256x256", whole(1))
    case(o + " all", o, ROWS, whole(0, 1))
    case(o + " outer two", o, "8x64x3136", whole(0, 2))
    case(o + " short last", o, "1000000x4", whole(1))
case("ReduceMean pool", "ReduceMean", MAP, whole(2, 3))
case("ReduceMean channels", "ReduceMean", MAP, whole(1))
case("ReduceSum int64", "ReduceSum", "l:" + ROWS, whole(1))
case("ReduceMax uint8", "ReduceMax", "B:" + ROWS, whole(1))
case("ReduceSum float16", "ReduceSum", "h:" + ROWS, whole(1))
for o in "Softmax LogSoftmax Hardmax".split():
    case(o + " last", o, ROWS, axis=1)
    case(o + " first", o, ROWS, axis=0)
    case(o + " channel", o, "8x21x128x128", axis=1)
case("Softmax attention", "Softmax", "8x12x197x197", axis=-1)
case("Softmax short", "Softmax", "500000x5", axis=-1)
for o in "ArgMax ArgMin".split():
    case(o + " last", o, ROWS, out="l2", axis=1)
    case(o + " channel", o, "8x21x128x128", out="l4", axis=1)
case("ArgMax first", "ArgMax", ROWS, out="l2", axis=0)
case("TopK 5 of 1000", "TopK", "1024x1000", whole(5), out="f2 l2")
case("TopK 300 of 80000", "TopK", "8x80000", whole(300), out="f2 l2")
case("TopK all (sort)", "TopK", "64x16384", whole(16384), out="f2 l2")
case("TopK first axis", "TopK", "1000x1024", whole(5), out="f2 l2", axis=0)
case("CumSum last", "CumSum", ROWS, np.int64(1))
case("CumSum first", "CumSum", ROWS, np.int64(0))
case("CumSum int64", "CumSum", "l:" + ROWS, np.int64(1))
case("Trilu", "Trilu", "16x512x512", upper=0)

for p in ((1, 0), (0, 2, 1, 3), (0, 2, 3, 1), (0, 3, 1, 2), (0, 1, 3, 2), (3, 2, 1, 0), (1, 0, 2, 3), (2, 0, 1)):
    size = {2: "2048x2048", 3: "64x256x256", 4: "8x128x64x64"}[len(p)]
    case("Transpose %s" % "".join(map(str, p)), "Transpose", size, perm=list(p))
case("Transpose heads", "Transpose", "8x197x12x64", perm=[0, 2, 1, 3])
case("Transpose shuffle", "Transpose", "8x2x58x784", perm=[0, 2, 1, 3])
case("Transpose 10 uint8", "Transpose", "B:2048x2048", perm=[1, 0])
case("Transpose nhwc uint8", "Transpose", "B:8x224x224x3", perm=[0, 3, 1, 2])
case("Transpose nhwc 3", "Transpose", "8x224x224x3", perm=[0, 3, 1, 2])
case("Transpose 0231 3", "Transpose", "8x3x224x224", perm=[0, 2, 3, 1])
case("Transpose 10 float16", "Transpose", "h:2048x2048", perm=[1, 0])
case("Transpose six", "Transpose", "8x14x4x14x4x96", perm=[0, 1, 3, 2, 4, 5])
case("Concat channel", "Concat", MAP, MAP, axis=1)
case("Concat last", "Concat", "4096x512", "4096x512", axis=1)
case("Concat short last", "Concat", "1000000x2", "1000000x2", axis=1)
case("Split channel", "Split", MAP, out="f4 f4", axis=1, num_outputs=2)
case("Split last", "Split", ROWS, out="f2 f2", axis=1, num_outputs=2)
case("Slice rows", "Slice", ROWS, whole(100), whole(4000), whole(0))
case("Slice last", "Slice", ROWS, whole(100), whole(900), whole(1))
case("Slice step 2 last", "Slice", ROWS, whole(0), whole(1024), whole(1), whole(2))
case("Slice step 2 both", "Slice", BIG, whole(0, 0), whole(112, 112), whole(2, 3), whole(2, 2))
case("Slice back", "Slice", ROWS, whole(-1), whole(-9999), whole(1), whole(-1))
for mode in "constant reflect edge wrap".split():
    case("Pad " + mode, "Pad", MAP, whole(0, 0, 1, 1, 0, 0, 1, 1), mode=mode)
case("Pad channels", "Pad", MAP, whole(0, 0, 0, 0, 0, 64, 0, 0))
case("Tile rows", "Tile", "64x4096", whole(16, 1))
case("Tile last", "Tile", "4096x64", whole(1, 16))
case("Tile each", "Tile", "1000000x1", whole(1, 4))
case("Expand row", "Expand", "1x1024", whole(4096, 1024))
case("Expand column", "Expand", "4096x1", whole(4096, 1024))
case("Expand middle", "Expand", "64x1x1024", whole(64, 64, 1024))
case("Gather rows", "Gather", "30000x256", index(30000, 8192))
case("Gather last", "Gather", ROWS, index(1024, 512), axis=1)
case("Gather one", "Gather", "l:4096x1024", index(1024, 1), axis=1)
case("GatherND", "GatherND", ROWS, np.stack([index(4096, 1000000), index(1024, 1000000)], -1), out="f1")
case("GatherND rows", "GatherND", ROWS, index(4096, 8192, 1))
case("GatherElements last", "GatherElements", ROWS, index(1024, 4096, 256), axis=1)
case("GatherElements first", "GatherElements", ROWS, index(4096, 1024, 1024), axis=0)
case("ScatterElements", "ScatterElements", ROWS, index(1024, 4096, 256), "4096x256", axis=1)
case("ScatterElements add", "ScatterElements", ROWS, index(1024, 4096, 256), "4096x256", axis=1, reduction="add")
case("ScatterND rows", "ScatterND", ROWS, index(4096, 1024, 1), "1024x1024")
case("ScatterND points", "ScatterND", ROWS, np.stack([index(4096, 300000), index(1024, 300000)], -1), "300000")
case("OneHot", "OneHot", "l:65536", np.int64(64), real(2), out="f2")
case("ReverseSequence", "ReverseSequence", "256x64x128", whole(*[200] * 64), batch_axis=1, time_axis=0)
case("DepthToSpace", "DepthToSpace", "4x64x128x128", blocksize=4)
case("SpaceToDepth", "SpaceToDepth", "4x4x512x512", blocksize=2)
case("EyeLike", "EyeLike", "2048x2048")

for mode, how in (("nearest", "asymmetric"), ("linear", "half_pixel"), ("linear", "align_corners"),
                  ("cubic", "half_pixel")):
    extra = {"nearest_mode": "floor"} if mode == "nearest" else {}
    case("Resize %s %s up" % (mode, how), "Resize", "2x32x64x64", None, np.float32([1, 1, 2, 2]), mode=mode,
         coordinate_transformation_mode=how, **extra)
case("Resize linear down", "Resize", "2x32x128x128", None, np.float32([1, 1, 0.5, 0.5]), mode="linear")
case("Resize linear antialias", "Resize", "2x3x512x512", None, np.float32([1, 1, 0.25, 0.25]), mode="linear",
     antialias=1)
case("Resize linear uint8", "Resize", "B:1x3x512x512", None, np.float32([1, 1, 0.5, 0.5]), mode="linear")
for o in "MaxPool AveragePool".split():
    case(o + " 2", o, MAP, kernel_shape=[2, 2], strides=[2, 2])
    case(o + " 3 s2", o, BIG, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    case(o + " 3 s1", o, MAP, kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    case(o + " 5 s1", o, "8x256x20x20", kernel_shape=[5, 5], pads=[2, 2, 2, 2])
    case(o + " 13 s1", o, "8x256x20x20", kernel_shape=[13, 13], pads=[6, 6, 6, 6])
    case(o + " 1-D", o, "32x64x4096", kernel_shape=[3], strides=[2], pads=[1, 1])
    case(o + " 3-D", o, "2x32x16x56x56", kernel_shape=[2, 2, 2], strides=[2, 2, 2])
    case("Global" + o, "Global" + o, MAP)
case("MaxPool indices", "MaxPool", MAP, out="f4 l4", kernel_shape=[2, 2], strides=[2, 2])
case("MaxPool dilated", "MaxPool", MAP, kernel_shape=[3, 3], dilations=[2, 2])
case("MaxPool uint8", "MaxPool", "B:" + MAP, kernel_shape=[3, 3], strides=[2, 2])
case("LpPool 3", "LpPool", MAP, kernel_shape=[3, 3], strides=[2, 2])
case("MaxUnpool", "MaxUnpool", "8x64x28x28", np.arange(8 * 64 * 784).reshape(8, 64, 28, 28) * 4, kernel_shape=[2, 2],
     strides=[2, 2])
case("Conv 3", "Conv", "4x64x56x56", real(64, 64, 3, 3), pads=[1, 1, 1, 1])
case("Conv 1", "Conv", "4x64x56x56", real(128, 64, 1, 1))
case("Conv depthwise", "Conv", "8x96x56x56", real(96, 1, 3, 3), pads=[1, 1, 1, 1], group=96)
case("Conv depthwise 7", "Conv", "4x96x56x56", real(96, 1, 7, 7), pads=[3, 3, 3, 3], group=96)
case("Conv groups 32", "Conv", "4x128x56x56", real(128, 4, 3, 3), pads=[1, 1, 1, 1], group=32)
case("Conv dilated", "Conv", "2x64x64x64", real(64, 64, 3, 3), pads=[2, 2, 2, 2], dilations=[2, 2])
case("Conv depthwise dilated", "Conv", "4x128x64x64", real(128, 1, 3, 3), pads=[4, 4, 4, 4], dilations=[4, 4],
     group=128)
case("Conv patch 16", "Conv", "8x3x224x224", real(192, 3, 16, 16), strides=[16, 16])
case("Conv stem 7", "Conv", "4x3x224x224", real(64, 3, 7, 7), strides=[2, 2], pads=[3, 3, 3, 3])
case("Conv 1-D", "Conv", "8x64x4096", real(64, 64, 5), pads=[2, 2])
case("Conv 1-D depthwise", "Conv", "8x256x2048", real(256, 1, 9), pads=[4, 4], group=256)
case("Conv 1-D dilated", "Conv", "8x64x4096", real(64, 64, 3), pads=[8, 8], dilations=[8])
case("Conv 3-D", "Conv", "1x16x16x56x56", real(32, 16, 3, 3, 3), pads=[1] * 6)
case("Conv 3-D depthwise", "Conv", "1x64x16x28x28", real(64, 1, 3, 3, 3), pads=[1] * 6, group=64)
case("Conv one channel out", "Conv", "4x64x112x112", real(1, 64, 3, 3), pads=[1, 1, 1, 1])
case("ConvTranspose 2", "ConvTranspose", "4x64x56x56", real(64, 32, 2, 2), strides=[2, 2])
case("ConvTranspose 4", "ConvTranspose", "4x64x28x28", real(64, 64, 4, 4), strides=[2, 2], pads=[1, 1, 1, 1])
case("ConvTranspose 3 s1", "ConvTranspose", "2x64x56x56", real(64, 64, 3, 3), pads=[1, 1, 1, 1])
case("ConvTranspose depthwise", "ConvTranspose", "4x64x56x56", real(64, 1, 4, 4), strides=[2, 2], pads=[1, 1, 1, 1],
     group=64)
case("ConvTranspose 1-D", "ConvTranspose", "8x64x1024", real(64, 64, 8), strides=[4])
case("MatMul 512", "MatMul", "512x512", real(512, 512))
case("MatMul vector", "MatMul", "1x4096", real(4096, 4096))
case("MatMul column", "MatMul", "4096x1024", real(1024, 1))
case("MatMul batch", "MatMul", "96x197x64", "96x64x197", out="f3")
case("MatMul tiny batch", "MatMul", "65536x4x4", "65536x4x4")
case("MatMul int32", "MatMul", "i:256x256", "i:256x256")
case("MatMul int64", "MatMul", "l:256x256", "l:256x256")
case("MatMul float64", "MatMul", "d:512x512", "d:512x512")
case("Gemm transB", "Gemm", "256x1024", real(1024, 1024), real(1024), transB=1)
case("Gemm transA", "Gemm", "1024x256", real(1024, 1024), real(1024), transA=1)
for e in ("bij,bjk->bik", "bhid,bhjd->bhij", "bid,jd->bij", "bij,bij->b", "bij->bji", "bi,bj->bij"):
    left, right = e.split("->")[0].split(","), e.split("->")[1]
    size = dict(b="16", h="8", i="128", j="96", k="64", d="64")
    case("Einsum " + e, "Einsum", *["x".join(size[c] for c in t) for t in (left if len(left) > 1 else left)],
         out="f%d" % len(right), equation=e)
case("LSTM", "LSTM", "64x16x128", real(1, 1024, 128), real(1, 1024, 256), out="f4", hidden_size=256)
case("LSTM both ways", "LSTM", "64x8x128", real(2, 512, 128), real(2, 512, 128), out="f4", hidden_size=128,
     direction="bidirectional")
case("LSTM one sample", "LSTM", "128x1x256", real(1, 1024, 256), real(1, 1024, 256), out="f4", hidden_size=256)
case("GRU", "GRU", "64x16x128", real(1, 768, 128), real(1, 768, 256), out="f4", hidden_size=256)
case("RNN", "RNN", "64x16x128", real(1, 256, 128), real(1, 256, 256), out="f4", hidden_size=256)
case("LayerNormalization", "LayerNormalization", "4096x768", real(768), real(768))
case("LayerNormalization short", "LayerNormalization", "65536x32", real(32), real(32))
case("RMSNormalization", "RMSNormalization", "4096x768", real(768), opset=23)
case("InstanceNormalization", "InstanceNormalization", MAP, real(64), real(64))
case("GroupNormalization", "GroupNormalization", MAP, real(64), real(64), num_groups=8)
case("BatchNormalization", "BatchNormalization", MAP, real(64), real(64), real(64), real(64) + 2)
case("LRN", "LRN", "8x96x55x55", size=5)
case("LpNormalization", "LpNormalization", ROWS, axis=1)
case("MeanVariance", "MeanVarianceNormalization", MAP)

for x, y in (("f", "l"), ("l", "f"), ("f", "h"), ("h", "f"), ("f", "B"), ("B", "f"), ("l", "i"), ("i", "l"),
             ("f", "?"), ("?", "f"), ("f", "d"), ("d", "f"), ("l", "?")):
    code = {"f": 1, "B": 2, "i": 6, "l": 7, "?": 9, "h": 10, "d": 11}[y]
    case("Cast %s to %s" % (FEED[x], FEED[y]), "Cast", x + ":" + MAP, out=y + "4", to=code)
case("QuantizeLinear", "QuantizeLinear", MAP, np.float32(0.02), np.uint8(128), out="B4")
case("QuantizeLinear axis", "QuantizeLinear", MAP, real(64) + 2, np.zeros(64, np.int8), out="b4", axis=1)
case("DequantizeLinear", "DequantizeLinear", "B:" + MAP, np.float32(0.02), np.uint8(128), out="f4")
case("DequantizeLinear axis", "DequantizeLinear", "b:" + MAP, real(64), np.zeros(64, np.int8), out="f4", axis=1)
case("DynamicQuantizeLinear", "DynamicQuantizeLinear", MAP, out="B4")
case("MatMulInteger", "MatMulInteger", index(255, 512, 512, kind=np.uint8), "B:512x512", out="i2")
case("ConvInteger", "ConvInteger", "B:2x32x28x28", index(255, 32, 32, 3, 3, kind=np.uint8), out="i4")
S, Z = np.float32(0.02), np.uint8(128)
case("QLinearConv", "QLinearConv", "B:2x64x56x56", S, Z, index(255, 64, 64, 3, 3, kind=np.uint8), S, Z, S, Z,
     pads=[1, 1, 1, 1])
case("QLinearConv depthwise", "QLinearConv", "B:2x64x56x56", S, Z, index(255, 64, 1, 3, 3, kind=np.uint8), S, Z, S, Z,
     pads=[1, 1, 1, 1], group=64)
case("QLinearMatMul", "QLinearMatMul", "B:512x512", S, Z, index(255, 512, 512, kind=np.uint8), S, Z, S, Z)
case("QLinearAdd", "QLinearAdd", "B:" + MAP, S, Z, "B:" + MAP, S, Z, S, Z, domain="com.microsoft")
case("GridSample linear", "GridSample", "2x64x64x64", "2x64x64x2", mode="linear")
case("GridSample nearest", "GridSample", "2x64x64x64", "2x64x64x2", mode="nearest")
case("GridSample cubic", "GridSample", "2x16x64x64", "2x64x64x2", mode="cubic")
case("AffineGrid", "AffineGrid", "8x2x3", whole(8, 3, 256, 256), out="f4")
case("DeformConv", "DeformConv", "1x32x28x28", real(32, 32, 3, 3), "1x18x28x28", opset=22, pads=[1, 1, 1, 1])
case("RoiAlign", "RoiAlign", "1x256x50x50", np.abs(real(100, 4)) * np.float32(10) + np.float32([0, 0, 20, 20]),
     index(1, 100), output_height=7, output_width=7, sampling_ratio=2, spatial_scale=1.0)
case("DFT 1024", "DFT", "256x1024x1", None, np.int64(1), out="f3", opset=20)
case("DFT 1000", "DFT", "256x1000x1", None, np.int64(1), out="f3", opset=20)
case("STFT", "STFT", "4x65536x1", np.int64(256), np.hanning(512).astype(np.float32), np.int64(512), out="f4")
case("Col2Im", "Col2Im", "4x576x3136", whole(56, 56), whole(3, 3), out="f4", pads=[1, 1, 1, 1])
case("Det", "Det", "65536x4x4", out="f1")
case("Dropout", "Dropout", BIG)
case("Shrink", "Shrink", BIG)
case("FusedAttention", "MultiHeadAttention", "4x197x768", "4x197x768", "4x197x768", domain="com.microsoft",
     num_heads=12)
case("SkipLayerNormalization", "SkipLayerNormalization", "8x512x768", "8x512x768", real(768), real(768),
     domain="com.microsoft")
case("BiasGelu", "BiasGelu", "4096x1024", real(1024), domain="com.microsoft")
case("FastGelu", "FastGelu", "4096x1024", domain="com.microsoft")
