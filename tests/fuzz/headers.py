"""Ways to spoil a safetensors file: eight bytes of length, a header in JSON, the tensors' bytes."""

import json
import random
import struct
from collections.abc import Callable

Header = dict[str, dict]
DTYPES = ("F8_E8M0", "F4", "F6_E2M3", "I64", "BOOL", "U8", "C64", "X", "", None, 5, ["F32"], "f32", "F64")
DIMENSIONS = (0, 1, -1, 2**31, 2**62, 2**63, 2**64, 1.5, "3", None, [1], True, 1e30)


def header_of(data: bytes) -> Header:
    length = struct.unpack("<Q", data[:8])[0]
    found = json.loads(data[8 : 8 + length])
    found.pop("__metadata__", None)
    return found


def with_header(header: Header | str | bytes, data: bytes) -> bytes:
    """The file with another header before the same bytes."""
    length = struct.unpack("<Q", data[:8])[0]
    text = header if isinstance(header, str | bytes) else json.dumps(header)
    raw = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    return struct.pack("<Q", len(raw)) + raw + data[8 + length :]


def _one(change: Callable[[dict, random.Random], object]):
    """A change to one tensor's entry."""

    def spoil(header: Header, rng: random.Random) -> Header:
        change(header[rng.choice(list(header))], rng)
        return header

    return spoil


def _all(change: Callable[[dict, random.Random], object]):
    def spoil(header: Header, rng: random.Random) -> Header:
        for info in header.values():
            change(info, rng)
        return header

    return spoil


def _set(key: str, make: Callable[[dict, random.Random], object]):
    return lambda info, rng: info.update({key: make(info, rng)})


def _dimension(info, rng):
    shape = list(info["shape"]) or [1]
    shape[rng.randrange(len(shape))] = rng.choice(DIMENSIONS)
    return shape


def _offsets(info, rng):
    a, b = info["data_offsets"]
    return rng.choice(
        (
            [b, a],
            [a, b + 4],
            [a + 4, b],
            [0, b],
            [a, 2**63],
            [-1, b],
            [a],
            [a, b, b],
            [a, b + 0.5],
            ["a", "b"],
            None,
            {},
        )
    )


def _renamed(header: Header, rng: random.Random, name: str) -> Header:
    old = rng.choice(list(header))
    return {(name if k == old else k): v for k, v in header.items()}


def _swapped(header: Header, rng: random.Random) -> Header:
    a, b = rng.sample(list(header), 2)
    return {{a: b, b: a}.get(k, k): v for k, v in header.items()}


def _many(header: Header, rng: random.Random) -> Header:
    end = max(info["data_offsets"][1] for info in header.values())
    prefix = rng.choice(("x.", "down_blocks.", "pretrained.blocks."))
    return {
        **header,
        **{f"{prefix}{i}": {"dtype": "F32", "shape": [0], "data_offsets": [end] * 2} for i in range(30_000)},
    }


def _ladder(header: Header, rng: random.Random) -> Header:
    """Names of many blocks with many layers, without bytes."""
    end = max(info["data_offsets"][1] for info in header.values())
    empty = {"dtype": "F32", "shape": [0, 8, 3, 3], "data_offsets": [end, end]}
    names = [f"down_blocks.{b}.resnets.0.spatial_res_block.conv1.weight" for b in range(2000)]
    names += [f"down_blocks.0.resnets.{i}.spatial_res_block.conv1.weight" for i in range(2000)]
    return {**{n: dict(empty) for n in names}, **header}


def _twice(header: Header, rng: random.Random) -> str:
    name = rng.choice(list(header))
    other = {**header[name], "shape": [1], "dtype": "F64"}
    return json.dumps(header)[:-1] + f", {json.dumps(name)}: {json.dumps(other)}}}"


def _all_of(header: Header, dtype) -> Header:
    return {name: {**info, "dtype": dtype} for name, info in header.items()}


# {what is done to the header: how}; the result is written before the same bytes.
HEADERS: dict[str, Callable[[Header, random.Random], Header | str | bytes]] = {
    "a dtype": _one(_set("dtype", lambda info, rng: rng.choice(DTYPES))),
    "all of one dtype": lambda h, rng: _all_of(h, rng.choice(DTYPES)),
    "whole numbers": _all(_set("dtype", lambda i, r: i["dtype"].replace("BF", "I").replace("F", "I"))),
    "a dimension": _one(_set("shape", _dimension)),
    "a scalar": _one(_set("shape", lambda i, r: [])),
    "all scalars": _all(_set("shape", lambda i, r: [])),
    "flat": _one(_set("shape", lambda i, r: [_product(i["shape"])])),
    "all flat": _all(_set("shape", lambda i, r: [_product(i["shape"])])),
    "more axes": _one(_set("shape", lambda i, r: [1] * r.choice((1, 5, 70)) + i["shape"])),
    "turned": _one(_set("shape", lambda i, r: i["shape"][::-1])),
    "a product that overflows": _one(_set("shape", lambda i, r: [2**32, 2**32, 2**32])),
    "nothing times much": _one(_set("shape", lambda i, r: r.sample([0, 2**40, 2**40], 3))),
    "no shape": _one(lambda info, rng: info.pop(rng.choice(list(info)))),
    "offsets": _one(_set("data_offsets", _offsets)),
    "an entry": lambda h, rng: {**h, rng.choice(list(h)): rng.choice((None, 1, "a", [], {}, {"dtype": "F32"}))},
    "a name of 1 MB": lambda h, rng: _renamed(h, rng, "n" * 1_000_000),
    "no name": lambda h, rng: _renamed(h, rng, ""),
    "an odd name": lambda h, rng: _renamed(h, rng, rng.choice(("a\nb", "\u00e9\u0000", "\ud800", "..", "a" * 300))),
    "a huge number in a name": lambda h, rng: _renamed(h, rng, f"pretrained.blocks.{'9' * 5000}.norm1.weight"),
    "a word in a name": lambda h, rng: _renamed(h, rng, "pretrained.blocks.x.norm1.weight"),
    "names swapped": _swapped,
    "30,000 names more": _many,
    "2,000 blocks of 2,000 layers": _ladder,
    "a name twice": _twice,
    "metadata": lambda h, rng: {"__metadata__": rng.choice((None, 1, [], {"a": 1}, {"a": "x" * 10**6})), **h},
    "other metadata": lambda h, rng: {"__metadata__": {"format": rng.choice(("np", "tf", "\u00e9"))}, **h},
    "none": lambda h, rng: {},
    "an array": lambda h, rng: "[]",
    "deep": lambda h, rng: '{"a":' * 20_000 + "1" + "}" * 20_000,
    "not UTF-8": lambda h, rng: b'{"\xff\xfe": 1}',
    "NaN": lambda h, rng: json.dumps(h).replace('"shape": [', '"shape": [NaN, ', 1),
    "spaces": lambda h, rng: json.dumps(h) + " " * 1000,
    "17 MB": lambda h, rng: json.dumps(h) + " " * (17 << 20),
}


def _product(shape) -> int:
    n = 1
    for side in shape:
        n *= side
    return n


def _length(data: bytes, rng: random.Random) -> bytes:
    length = struct.unpack("<Q", data[:8])[0]
    wrong = rng.choice((0, 1, length - 1, length + 1, len(data), len(data) - 8, 2**31, 2**63, 2**64 - 1))
    return struct.pack("<Q", wrong) + data[8:]


def _bits(data: bytes, rng: random.Random) -> bytes:
    length, spoiled = struct.unpack("<Q", data[:8])[0], bytearray(data)
    for _ in range(rng.choice((1, 3, 30))):
        spoiled[rng.randrange(8 + length)] ^= 1 << rng.randrange(8)
    return bytes(spoiled)


def _values(data: bytes, rng: random.Random) -> bytes:
    """Bytes of the tensors: all ones are NaN in every floating-point type."""
    length = struct.unpack("<Q", data[:8])[0]
    at = 8 + length + 8 * rng.randrange((len(data) - 8 - length) // 8)
    return data[:at] + b"\xff" * 8 + data[at + 8 :]


# {what is done to the bytes: how}
DAMAGES: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "cut off": lambda data, rng: data[: rng.randrange(len(data))],
    "cut off in the header": lambda data, rng: data[: rng.randrange(200)],
    "more bytes": lambda data, rng: data + rng.randbytes(rng.choice((1, 8, 10_000))),
    "another length": _length,
    "bits of the header": _bits,
    "NaN among the values": _values,
    "only NaN": lambda data, rng: data[: 8 + struct.unpack("<Q", data[:8])[0]].ljust(len(data), b"\xff"),
    "only 0": lambda data, rng: data[: 8 + struct.unpack("<Q", data[:8])[0]].ljust(len(data), b"\0"),
}
