"""Our rows beside the schemas of the onnx package that is installed (Debian 12: opset 17), each version of each operator:
attributes, numbers of inputs and outputs, element types of the first input.

usage: schema.py BIN_DIR WORK_DIR SHARED_DIR         prints ok / not ok lines
"""
import collections
import json
import os
import sys

import onnx

import peers

# As onnx-info --ops puts types together.
GROUPS = {"float": ["float", "double", "float16", "bfloat16"], "int": ["int8", "int16", "int32", "int64"],
          "uint": ["uint8", "uint16", "uint32", "uint64"], "complex": ["complex64", "complex128"],
          "float8": ["float8e4m3fn", "float8e4m3fnuz", "float8e5m2", "float8e5m2fnuz"], "float4": ["float4e2m1"],
          "float6": ["float6e2m3", "float6e3m2"], "4-bit": ["int4", "uint4"], "2-bit": ["int2", "uint2"]}
# Read where attributes are read, and where constants are.
ELSEWHERE = {"consumed_inputs", "sparse_value"}
# The schema counts a group of tensors as one input.
GROUPED = {"Adagrad", "Adam", "Momentum"}
MANY = 127


def types(row):
    have = set()
    for word in row["types"].split(", "):
        have.update(GROUPS.get(word, [word]))
    return have


def lacks(schema, row):
    """What the row of this version does not have."""
    found = ["attribute " + a for a in schema.attributes if a not in row["attributes"] and a not in ELSEWHERE]
    if row["min_inputs"] > schema.min_input and schema.name not in GROUPED:
        found.append("%d inputs" % schema.min_input)
    if row["max_inputs"] < min(schema.max_input, MANY):
        found.append("%d inputs" % schema.max_input)
    if row["min_outputs"] > schema.min_output:
        found.append("%d outputs" % schema.min_output)
    if row["max_outputs"] < min(schema.max_output, MANY):
        found.append("%d outputs" % schema.max_output)
    have = types(row)
    if schema.inputs and "any" not in have:
        found += [t for t in schema.inputs[0].types if t.startswith("tensor(") and t[7:-1] not in have]
    return found


def main():
    rows = collections.defaultdict(list)
    for row in json.loads(peers.run([os.path.join(sys.argv[1], "onnx-info"), "--ops", "--json"])):
        rows[row["domain"], row["type"]].append(row)
    for schema in onnx.defs.get_all_schemas_with_history():
        if schema.deprecated:
            continue
        mine = [r for r in rows[schema.domain or "ai.onnx", schema.name] if r["since"] <= schema.since_version]
        found = lacks(schema, max(mine, key=lambda r: r["since"])) if mine else ["the operator"]
        peers.say(not found, "%s-%d has all that its schema has%s" % (
            schema.name, schema.since_version, ": no " + ", ".join(found) if found else ""))


if __name__ == "__main__":
    main()
