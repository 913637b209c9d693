"""Writes a model of one node without the onnx package: the few messages of onnx.proto that this takes."""
import struct

KIND = {"float32": 1, "uint8": 2, "int8": 3, "uint16": 4, "int16": 5, "int32": 6, "int64": 7, "bool": 9,
        "float16": 10, "float64": 11, "uint32": 12, "uint64": 13}


def varint(n):
    n &= 2 ** 64 - 1
    out = b""
    while n > 127:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n])


def whole(at, n):
    return varint(at << 3) + varint(int(n))


def part(at, b):
    b = b.encode() if isinstance(b, str) else b
    return varint(at << 3 | 2) + varint(len(b)) + b


def attribute(name, v):
    if isinstance(v, float):
        body = varint(2 << 3 | 5) + struct.pack("<f", v) + whole(20, 1)
    elif isinstance(v, int):
        body = whole(3, v) + whole(20, 2)
    elif isinstance(v, str):
        body = part(4, v) + whole(20, 3)
    elif isinstance(v[0], float):
        body = b"".join(varint(7 << 3 | 5) + struct.pack("<f", f) for f in v) + whole(20, 6)
    elif isinstance(v[0], int):
        body = b"".join(whole(8, i) for i in v) + whole(20, 7)
    else:
        body = b"".join(part(9, s) for s in v) + whole(20, 8)
    return part(1, name) + body


def node(op, inputs, outputs, attrs=None, domain=""):
    return (b"".join(part(1, i) for i in inputs) + b"".join(part(2, o) for o in outputs) + part(4, op) +
            b"".join(part(5, attribute(k, v)) for k, v in (attrs or {}).items()) + (part(7, domain) if domain else b""))


def tensor(name, a):
    """a: an array of numpy."""
    return (b"".join(whole(1, d) for d in a.shape) + whole(2, KIND[str(a.dtype)]) + part(8, name) +
            part(9, a.tobytes()))


def value(name, kind, dims=None):
    shape = b"" if dims is None else part(2, b"".join(part(1, whole(1, d)) for d in dims))
    return part(1, name) + part(2, part(1, whole(1, KIND[kind]) + shape))


def save(path, case, nodes, consts, feeds, outs):
    graph = (b"".join(part(1, n) for n in nodes) + part(2, "case") +
             b"".join(part(5, tensor(n, a)) for n, a in consts.items()) +
             b"".join(part(11, value(*f)) for f in feeds) + b"".join(part(12, o) for o in outs))
    with open(path, "wb") as f:
        f.write(whole(1, 10) + part(7, graph) + part(8, part(1, "") + whole(2, case.opset)) +
                part(8, part(1, "com.microsoft") + whole(2, 1)))


def write(path, case):
    """The node of the case, then its results cut to one element each."""
    nodes, outs, consts = [], [], dict(case.consts)
    nodes.append(node(case.op, case.inputs, ["y%d" % k for k in range(len(case.outs))], case.attrs, case.domain))
    for k, (kind, rank) in enumerate(case.outs):
        for name, v in (("from", 0), ("to", 1)):
            consts["%s%d" % (name, rank)] = case.row([v] * rank)
        consts["axes%d" % rank] = case.row(list(range(rank)))
        cut = "cut%d" % k
        nodes.append(node("Slice", ["y%d" % k, "from%d" % rank, "to%d" % rank, "axes%d" % rank], [cut]))
        outs.append(value(cut, kind))
    save(path, case, nodes, consts, case.feeds, outs)


def write_loss(path, case):
    """The node of the case on numbers that the file holds (fed ones are called x.., constants c..), and behind it the
    sum of its real results as a loss."""
    fed = {name for name, _, _ in case.feeds}
    called = {name: name if name in fed else "c" + name for name in case.inputs}
    reals = [k for k, (kind, _) in enumerate(case.outs) if kind.startswith("float")]
    nodes = [node(case.op, [called[n] if n else "" for n in case.inputs], ["y%d" % k for k in range(len(case.outs))],
                  case.attrs, case.domain)]
    nodes += [node("ReduceSum", ["y%d" % k], ["s%d" % k], {"keepdims": 0}) for k in reals]
    nodes.append(node("Sum", ["s%d" % k for k in reals], ["loss"]))
    save(path, case, nodes, {called[n]: a for n, a in case.numbers().items()}, [], [value("loss", "float32", [])])
