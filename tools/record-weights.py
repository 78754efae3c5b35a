#!/usr/bin/env python3
"""tools/record-weights.py - the small weight files of tests/tensor and the seeds of fuzz/corpus, by the formats' own packages.

    pip install gguf onnx safetensors numpy;  tools/record-weights.py

Writes
    tests/tensor/data/blocks.gguf, blocks.safetensors    random blocks of each quantised type, and what the gguf package
                                                         makes of them; a setting of every type
    tests/tensor/data/layers.onnx, layers.safetensors    every encoding and every way to a name, and what torch would call them
    tests/tensor/data/sharded/                           a model in two files
    fuzz/corpus/{gguf,onnx,weights_index}/               files that lie, one lie each; test_gguf.c, test_onnx.c and
                                                         test_weights.c say which message each must give
"""
import json
import pathlib
import struct

import gguf
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import save_file

ROOT = pathlib.Path(__file__).resolve().parent.parent
DATA = ROOT / "tests/tensor/data"
CORPUS = ROOT / "fuzz/corpus"
RNG = np.random.default_rng(4)


def seed(target, name, data):
    folder = CORPUS / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data if isinstance(data, bytes) else data.encode())


# ---- GGUF by its own package ----

# name: elements and bytes of a block, where its half-precision numbers are
BLOCKS = {"Q8_0": (32, 34, (0,)), "Q4_0": (32, 18, (0,)), "Q4_1": (32, 20, (0, 2)), "Q4_K": (256, 144, (0, 2)), "Q6_K": (256, 210, (208,))}


def random_blocks(kind, n):
    _, size, halves = BLOCKS[kind]
    data = RNG.integers(0, 256, (n, size), dtype=np.uint8)
    for at in halves:
        scale = RNG.normal(0, 0.05, (n, 1)).astype(np.float16)
        scale[0] = 6e-8  # a subnormal half
        data[:, at : at + 2] = scale.view(np.uint8)
    return data


def write_blocks():
    writer = gguf.GGUFWriter(DATA / "blocks.gguf", "test")
    writer.add_uint8("v.u8", 200)
    writer.add_int8("v.i8", -100)
    writer.add_uint16("v.u16", 60000)
    writer.add_int16("v.i16", -30000)
    writer.add_uint32("v.u32", 4000000000)
    writer.add_int32("v.i32", -2000000000)
    writer.add_float32("v.f32", 0.25)
    writer.add_bool("v.bool", True)
    writer.add_string("v.text", "größe")
    writer.add_uint64("v.u64", 2**64 - 1)
    writer.add_int64("v.i64", -(2**62))
    writer.add_float64("v.f64", 1e300)
    writer.add_array("v.texts", ["a", "", "Ġb"])
    writer.add_array("v.ints", [1, -2, 3])
    writer.add_array("v.reals", [0.5, -1.5])
    writer.add_array("v.bools", [True, False])
    expected = {}
    for kind, (block, size, _) in BLOCKS.items():
        data = random_blocks(kind, 6)
        type_ = gguf.GGMLQuantizationType[kind]
        expected[kind] = gguf.dequantize(data, type_).astype(np.float32).reshape(3, 2 * block)
        writer.add_tensor(kind, data.reshape(3, 2 * size), raw_dtype=type_)
    plain = RNG.normal(size=(3, 4)).astype(np.float32)
    writer.add_tensor("F32", plain)
    writer.add_tensor("F16", plain.astype(np.float16))
    bf16 = (plain.view(np.uint32) >> 16).astype(np.uint16)
    writer.add_tensor("BF16", bf16.view(np.uint8), raw_dtype=gguf.GGMLQuantizationType.BF16)
    expected |= {"F32": plain, "F16": plain.astype(np.float16).astype(np.float32), "BF16": (bf16.astype(np.uint32) << 16).view(np.float32)}
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    save_file(expected, DATA / "blocks.safetensors")


# ---- GGUF by hand, so that it can lie ----


def text(value):
    value = value if isinstance(value, bytes) else value.encode()
    return struct.pack("<Q", len(value)) + value


def u32_pair(key, value):
    return text(key) + struct.pack("<II", 4, value)


def info(name, dims, kind, offset):
    return text(name) + struct.pack("<I", len(dims)) + b"".join(struct.pack("<Q", d) for d in dims) + struct.pack("<IQ", kind, offset)


def gguf_file(pairs=(), infos=(), data=b"", version=3, tensors=None, values=None, alignment=32):
    head = b"GGUF" + struct.pack("<IQQ", version, len(infos) if tensors is None else tensors, len(pairs) if values is None else values)
    head += b"".join(pairs) + b"".join(infos)
    return head + b"\0" * (-len(head) % alignment) + data


def nested(depth):
    return text("n") + struct.pack("<I", 9) + struct.pack("<IQ", 9, 1) * depth + struct.pack("<IQ", 0, 0)


def gguf_seeds():
    ok = [info("a", [4], 0, 0), info("b", [2, 2], 1, 32)]
    body = b"\1" * 40
    files = {
        "two": gguf_file([u32_pair("x", 7)], ok, body),
        "empty": gguf_file(),
        "version-2": gguf_file([], ok, body, version=2),
        "aligned": gguf_file([u32_pair("general.alignment", 8)], [info("a", [1], 0, 0), info("b", [1], 0, 8)], b"\1" * 12, alignment=8),
        "nested": gguf_file([nested(2), u32_pair("x", 7)]),
        "split": gguf_file([text("split.count") + struct.pack("<IH", 2, 3)], ok, body),
        "block": gguf_file([], [info("q", [32, 2], 8, 0)], b"\1" * 68),
        "tiny": b"GG",
        "mark": b"GGML" + b"\0" * 40,
        "version-1": gguf_file(version=1),
        "big-endian": gguf_file(version=3 << 24),
        "cut": gguf_file([u32_pair("x", 7)], ok, body)[:60],
        "many-pairs": gguf_file(values=1 << 40),
        "pairs": gguf_file(values=60000),
        "many-tensors": gguf_file(tensors=1 << 40),
        "tensors": gguf_file(tensors=60000),
        "key-twice": gguf_file([u32_pair("x", 7), u32_pair("x", 7)]),
        "key-long": gguf_file([u32_pair("k" * 300, 7)]),
        "key-empty": gguf_file([u32_pair("", 7)]),
        "key-bytes": gguf_file([u32_pair(b"\xff\xfe", 7)]),
        "key-nul": gguf_file([u32_pair(b"a\0b", 7)]),
        "value-type": gguf_file([text("x") + struct.pack("<II", 13, 0)]),
        "value-text": gguf_file([text("x") + struct.pack("<IQ", 8, 1 << 60)]),
        "value-bool": gguf_file([text("x") + struct.pack("<IB", 7, 2)]),
        "array-long": gguf_file([text("x") + struct.pack("<IIQ", 9, 4, 1 << 62)]),
        "array-texts": gguf_file([text("x") + struct.pack("<IIQ", 9, 8, 1 << 61)]),
        "array-deep": gguf_file([nested(20)]),
        "alignment-zero": gguf_file([u32_pair("general.alignment", 0)], ok, body),
        "alignment-odd": gguf_file([u32_pair("general.alignment", 24)], ok, body),
        "alignment-text": gguf_file([text("general.alignment") + struct.pack("<I", 8) + text("32")], ok, body),
        "name-twice": gguf_file([], [info("a", [4], 0, 0), info("a", [4], 0, 32)], b"\1" * 48),
        "name-long": gguf_file([], [info("n" * 300, [4], 0, 0)], body),
        "rank-0": gguf_file([], [info("a", [], 0, 0)], body),
        "rank-9": gguf_file([], [info("a", [1] * 9, 0, 0)], body),
        "dimension-0": gguf_file([], [info("a", [4, 0], 0, 0)], body),
        "overflow": gguf_file([], [info("a", [1 << 40, 1 << 40], 0, 0)], body),
        "type-unknown": gguf_file([], [info("a", [4], 99, 0)], body),
        "type-q5": gguf_file([], [info("a", [256], 13, 0)], body),
        "rows": gguf_file([], [info("q", [33, 2], 8, 0)], b"\1" * 68),
        "offset-odd": gguf_file([], [info("a", [4], 0, 4)], body),
        "outside": gguf_file([], [info("a", [4], 0, 32 << 20)], body),
        "large": gguf_file([], [info("a", [1 << 30], 0, 0)], body),
        "end": gguf_file([], [info("a", [12], 0, 0)], body),
        "overlap": gguf_file([], [info("a", [9], 0, 0), info("b", [4], 0, 32)], b"\1" * 80),
        "same": gguf_file([], [info("a", [4], 0, 0), info("b", [4], 0, 0)], body),
        "hole": gguf_file([], [info("a", [4], 0, 0), info("b", [4], 0, 64)], b"\1" * 80),
    }
    for name, data in files.items():
        seed("gguf", name, data)


# ---- ONNX by its own package ----


def layers_model():
    def matrix(*shape):
        return RNG.normal(size=shape).astype(np.float32)

    def raw(name, value):
        return numpy_helper.from_array(value, name)

    query, output, shared, gemm, plain = matrix(3, 4), matrix(4, 2), matrix(2, 2), matrix(5, 2), matrix(4, 3)
    bias = matrix(4)
    floats = helper.make_tensor("lists.f32", TensorProto.FLOAT, [2, 3], [1, 2, 3, 4, 5, 6.5])
    half = np.array([1.5, -2, 65504], np.float16)
    halves = helper.make_tensor("lists.f16", TensorProto.FLOAT16, [3], half.tolist())
    brain = onnx.TensorProto(name="lists.bf16", data_type=TensorProto.BFLOAT16, dims=[2], int32_data=[0x3F80, 0xC0A0])
    unpacked = onnx.TensorProto(name="lists.i64", data_type=TensorProto.INT64, dims=[3], int64_data=[1, -2, 1 << 40])
    small = onnx.TensorProto(name="lists.i8", data_type=TensorProto.INT8, dims=[2], int32_data=[-5, 7])
    initialisers = [
        raw("layer.0.query.bias", bias), raw("onnx::MatMul_1", query), raw("onnx::MatMul_2", output), raw("onnx::MatMul_3", shared),
        raw("onnx::Gemm_4", gemm), raw("head.bias", matrix(5)), raw("plain.weight", plain), raw("onnx::MatMul_5", matrix(2, 2)),
        floats, halves, brain, unpacked, small,
        helper.make_tensor("texts", TensorProto.STRING, [1], [b"x"]), raw("double.scale", np.array([1.0])),
    ]  # fmt: skip
    constant = matrix(2, 3)
    nodes = [
        helper.make_node("Constant", [], ["const.weight"], "c", value=numpy_helper.from_array(constant)),
        helper.make_node("Constant", [], ["/Constant_output_0"], "d", value=numpy_helper.from_array(np.float32(2))),
        helper.make_node("Identity", ["layer.0.query.bias"], ["layer.1.query.bias"]),
        helper.make_node("MatMul", ["x", "onnx::MatMul_1"], ["p"], "MatMul_17"),  # only the bias tells
        helper.make_node("Add", ["layer.0.query.bias", "p"], ["q"]),
        helper.make_node("MatMul", ["q", "onnx::MatMul_2"], ["r"], "/layer.0/output/dense/MatMul"),
        helper.make_node("MatMul", ["r", "onnx::MatMul_3"], ["s"], "/shared/a/MatMul"),
        helper.make_node("MatMul", ["s", "onnx::MatMul_3"], ["t"], "/shared/b/MatMul"),
        helper.make_node("MatMul", ["t", "onnx::MatMul_5"], ["u"], "/shared/a/MatMul_1"),  # the name is taken
        helper.make_node("Gemm", ["u", "onnx::Gemm_4", "head.bias"], ["v"], "Gemm_9", transB=1),
    ]
    graph = helper.make_graph(nodes, "g", [helper.make_tensor_value_info("x", 1, ["n", 3])], [helper.make_tensor_value_info("v", 1, ["n", 5])], initialisers)
    model = helper.make_model(graph, producer_name="kua-test", opset_imports=[helper.make_opsetid("", 11)])
    named = {t.name: t for t in initialisers}
    expected = {
        "layer.0.query.bias": bias, "layer.1.query.bias": bias, "layer.0.query.weight": query.T, "layer.0.output.dense.weight": output.T,
        "shared.a.weight": shared.T, "shared.b.weight": shared.T, "head.weight": gemm, "head.bias": numpy_helper.to_array(named["head.bias"]),
        "plain.weight": plain, "onnx::MatMul_5": numpy_helper.to_array(named["onnx::MatMul_5"]), "const.weight": constant,
        "lists.f32": numpy_helper.to_array(floats), "lists.f16": half, "lists.bf16": np.array([1, -5], np.float32),
        "lists.i64": np.array([1, -2, 1 << 40]), "lists.i8": np.array([-5, 7]),
    }  # fmt: skip
    return model, {k: np.ascontiguousarray(v, dtype=np.float32) for k, v in expected.items()}


def varint(n):
    n &= (1 << 64) - 1
    out = b""
    while n > 127:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n])


def field(number, wire, value):
    return varint(number << 3 | wire) + (varint(len(value)) + value if wire == 2 else value)


def tensor(name="w", dims=(2,), kind=1, raw=b"\1" * 8, extra=b""):
    out = b"".join(field(1, 0, varint(d)) for d in dims) + field(2, 0, varint(kind)) + field(8, 2, name if isinstance(name, bytes) else name.encode())
    return out + (field(9, 2, raw) if raw is not None else b"") + extra


def onnx_file(*tensors, nodes=()):
    graph = b"".join(field(1, 2, n) for n in nodes) + b"".join(field(5, 2, t) for t in tensors)
    return field(1, 0, varint(8)) + field(7, 2, graph)


def onnx_seeds(model):
    node = field(1, 2, b"x") + field(1, 2, b"w") + field(2, 2, b"y") + field(3, 2, b"/a/MatMul") + field(4, 2, b"MatMul")
    files = {
        "layers": model.SerializeToString(),
        "one": onnx_file(tensor()),
        "matmul": onnx_file(tensor(dims=(1, 2)), nodes=[node]),
        "unpacked": onnx_file(tensor(raw=None, extra=field(4, 5, b"\0\0\x80\x3f") * 2)),
        "none": onnx_file(),
        "no-graph": field(1, 0, varint(8)),
        "two-graphs": onnx_file() + field(7, 2, b""),
        "cut": onnx_file(tensor())[:-3],
        "length": field(1, 0, varint(8)) + varint(7 << 3 | 2) + varint(1 << 40),
        "endless": field(1, 0, varint(8)) + b"\xff" * 12,
        "group": field(1, 0, varint(8)) + field(9, 3, b""),
        "field-0": field(1, 0, varint(8)) + b"\0\0",
        "twice": onnx_file(tensor(), tensor()),
        "nameless": onnx_file(tensor(name="")),
        "name-bytes": onnx_file(tensor(name=b"\xff")),
        "name-long": onnx_file(tensor(name="n" * 300)),
        "rank": onnx_file(tensor(dims=(1,) * 9)),
        "negative": onnx_file(tensor(dims=(-2,))),
        "overflow": onnx_file(tensor(dims=(1 << 40, 1 << 40))),
        "type-0": onnx_file(tensor(kind=0)),
        "type-99": onnx_file(tensor(kind=99)),
        "raw-short": onnx_file(tensor(raw=b"\1" * 7)),
        "list-short": onnx_file(tensor(raw=None, extra=field(4, 2, b"\0" * 4))),
        "list-odd": onnx_file(tensor(raw=None, extra=field(4, 2, b"\0" * 7))),
        "list-cut": onnx_file(tensor(kind=7, dims=(1,), raw=None, extra=field(7, 2, b"\xff" * 11 + b"\1"))),
        "absent": onnx_file(tensor(dims=(1 << 30,), raw=None)),
        "external": onnx_file(tensor(raw=None, extra=field(13, 2, b"") + field(14, 0, varint(1)))),
        "segment": onnx_file(tensor(extra=field(3, 2, b""))),
    }
    for name, data in files.items():
        seed("onnx", name, data)


# ---- several files ----


def write_shards():
    folder = DATA / "sharded"
    folder.mkdir(parents=True, exist_ok=True)
    parts = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    first = {"a.weight": np.arange(6, dtype=np.float32).reshape(2, 3), "a.bias": np.array([1, 2], np.float32)}
    second = {"b.weight": np.array([[7, 8]], np.float32), "extra": np.array([9], np.float32)}
    save_file(first, folder / parts[0], {"format": "pt"})
    save_file(second, folder / parts[1], {"format": "pt", "only": "here"})
    index = {"metadata": {"total_size": 40}, "weight_map": {"a.weight": parts[0], "a.bias": parts[0], "b.weight": parts[1]}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2))


def index_seeds():
    one = {"weight_map": {"a": "m-1.safetensors"}}
    two = {"metadata": {"total_size": 8}, "weight_map": {"a": "m-1.safetensors", "b": "m-2.safetensors", "c": "m-1.safetensors"}}
    files = {
        "one": json.dumps(one),
        "two": json.dumps(two),
        "no-map": "{}",
        "list": "[]",
        "map-list": '{"weight_map": []}',
        "empty-map": '{"weight_map": {}}',
        "number": '{"weight_map": {"a": 1}}',
        "up": '{"weight_map": {"a": "../m.safetensors"}}',
        "root": '{"weight_map": {"a": "/etc/passwd"}}',
        "hidden": '{"weight_map": {"a": ".safetensors"}}',
        "other": '{"weight_map": {"a": "m.bin"}}',
        "nameless": '{"weight_map": {"": "m.safetensors"}}',
        "long": json.dumps({"weight_map": {"n" * 300: "m.safetensors"}}),
        "twice": '{"weight_map": {"a": "m.safetensors", "a": "m.safetensors"}}',
        "cut": '{"weight_map": {"a": "m.saf',
        "many": json.dumps({"weight_map": {f"t{i}": f"{i}.safetensors" for i in range(1025)}}, separators=(",", ":")),
    }
    for name, data in files.items():
        seed("weights_index", name, data)


def main():
    DATA.mkdir(parents=True, exist_ok=True)
    write_blocks()
    gguf_seeds()
    model, expected = layers_model()
    (DATA / "layers.onnx").write_bytes(model.SerializeToString())
    save_file(expected, DATA / "layers.safetensors")
    onnx_seeds(model)
    write_shards()
    index_seeds()


main()
