"""Hostile text for the HTTP doors: cheap to send, dear to read for a service that is not careful.

`bodies(size)` has one of each kind, of about so many bytes; `variations(seed, count)` has many
small ones, each some body of a door with a part of it broken.
"""

import base64
import json
import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

MODEL = "MODEL"
"""Stands for the served model's name in paths."""

JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "multipart/form-data; boundary=b"}
INFER = f"/v2/models/{MODEL}/infer"
LENGTH = "Inference-Header-Content-Length"

PIXEL = base64.b64encode(
    bytes.fromhex(
        "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c49444154"
        "789c63606060000000040001f61738550000000049454e44ae426082"
    )
).decode()

GOOD = {
    "/v1/embeddings": {"input": [PIXEL]},
    "/embeddings": {"input": [{"image": PIXEL}]},
    "/images/embeddings": {"input": [{"image": PIXEL}]},
    "/v2/embed": {"images": [PIXEL], "embedding_types": ["float", "int8"]},
    "/v1/embed": {"inputs": [{"content": [{"image_url": {"url": f"data:;base64,{PIXEL}"}}]}]},
    "/v1/multimodalembeddings": {"inputs": [{"content": [{"image_base64": PIXEL}]}]},
    "/vectors": {"id": "1", "image": PIXEL},
    "/vectorize": {"texts": [], "images": [PIXEL]},
    f"/v1/models/{MODEL}:predict": {"instances": [{"b64": PIXEL}]},
    INFER: {"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "data": [PIXEL]}]},
}
"""A request that each JSON door answers with 200."""


@dataclass(frozen=True)
class Hostile:
    """A request, `POST` to a path."""

    kind: str
    path: str
    body: bytes
    headers: dict[str, str] = field(default_factory=lambda: dict(JSON))


def _repeated(before: bytes, piece: bytes, after: bytes, size: int) -> bytes:
    return before + piece * max(1, (size - len(before) - len(after)) // len(piece)) + after


def bodies(size: int) -> Iterator[Hostile]:
    """One of each kind, of about so many bytes."""
    yield from _json(size)
    yield from _tensors(size)
    yield from _texts(size)
    yield from _forms(size)
    yield from _headers()


def _json(size: int) -> Iterator[Hostile]:
    values = {
        "numbers": (b"[", b"1,", b"1]"),
        "objects": (b"[", b"{},", b"{}]"),
        "empty strings": (b"[", b'"",', b'""]'),
        "empty lists": (b"[", b"[],", b"[]]"),
        "images without one": (b"[", b'{"image":""},', b"{}]"),
        "nesting": (b"", b"[", b""),
        "nested objects": (b"", b'{"input":', b""),
        "a long number": (b"", b"9", b""),
        "a long string": (b'"', b"A", b'"'),
        "a long string of two widths": (b'"', b"A", "😀".encode() + b'"'),
        "a long string of escapes": (b'"', b"\\u0041", b'"'),
        "half a surrogate": (b'"', b"\\ud800", b'"'),
        "no UTF-8": (b'"', b"\xff", b'"'),
        "many keys": (b"{", b'"a":1,', b'"a":1}'),
        "spaces": (b"", b" ", b"1"),
    }
    for door, good in GOOD.items():
        for key in (*good, "model", "unknown"):
            for kind, (before, piece, after) in values.items():
                head = b'{"%b":' % key.encode() + before
                yield Hostile(
                    f"{kind} as {key} at {door}",
                    door,
                    _repeated(head, piece, after + b"}", size),
                )


def _tensors(size: int) -> Iterator[Hostile]:
    def infer(kind: str, data: bytes, shape: object = (1, 32, 32, 3), **fields: object) -> Hostile:
        head = {"name": "pixels", "datatype": "UINT8", "shape": shape} | fields
        text = json.dumps({"inputs": [head]})[:-3].encode()
        return Hostile(kind, INFER, text + b',"data":' + data + b"}]}")

    long = b'"' + b"x" * (size // 2) + b'"'
    yield infer("strings of two lengths", _repeated(b"[" + long, b',"a"', b"]", size))
    lists = b"[" * 100 + b"1" + b"]" * 100
    yield infer("lists of depth 100", _repeated(b"[", lists + b",", b"1]", size))
    yield infer("numbers", _repeated(b"[", b"1,", b"1]", size))
    yield infer("numbers out of range", _repeated(b"[", b"1,", b"256]", size))
    yield infer("negative numbers", _repeated(b"[", b"-1,", b"1]", size))
    yield infer("fractions", _repeated(b"[", b"1.5,", b"1]", size))
    yield infer("a shape of zeros", b"[]", [2**62, 0, 2**62, 3])
    yield infer("a shape beyond 64 bits", b"[1]", [2**200, 2**200])
    yield infer("a long shape", b"[1]", [1] * (size // 4))
    yield infer("a negative shape", b"[1]", [-1] * (size // 4))
    binary = [
        ("empty elements", b"\0\0\0\0" * (size // 4), None),
        ("a lying element", struct.pack("<I", 2**32 - 1) + b"x" * size, None),
        ("a lying size", b"x" * size, 2**63),
        ("a negative size", b"x" * size, -1),
        ("a size of 5,000 digits", b"x", int("9" * 4000)),
    ]
    for kind, raw, told in binary:
        parameters = {"binary_data_size": len(raw) if told is None else told}
        tensor = {"name": "image", "datatype": "BYTES", "shape": [1], "parameters": parameters}
        head = json.dumps({"inputs": [tensor]}).encode()
        yield Hostile(f"binary: {kind}", INFER, head + raw, JSON | {LENGTH: str(len(head))})
    good = json.dumps(GOOD[INFER]).encode()
    for length in ("0" * 5000, "9" * 5000, "-1", "1e3", "²"):
        yield Hostile(f"{LENGTH}: {length[:9]}", INFER, good, JSON | {LENGTH: length})
    outputs = b'{"outputs":['
    yield Hostile("many outputs", INFER, _repeated(outputs, b'{"name":"a"},', b"{}]}", size))
    yield Hostile("a huge id", INFER, good[:-1] + b',"id":"' + b"i" * size + b'"}')


def _texts(size: int) -> Iterator[Hostile]:
    for kind, before, piece, after in (
        ("percent", "data:,", "%41", ""),
        ("broken percent", "data:,", "%4", ""),
        ("percents", "data:,", "%", ""),
        ("percent in base64", "data:;base64,", "%41", ""),
        ("lines in base64", "", "A\\n", ""),
        ("padding", "", "=", ""),
        ("padding within", "", "AA==", ""),
        ("dashes", "", "-_", ""),
        ("commas", "data:", ",", ""),
        ("semicolons", "data:", ";", ","),
        ("address", "http://", "a.", ""),
    ):
        text = _repeated(before.encode(), piece.encode(), after.encode(), size - 14)
        yield Hostile(f"image text: {kind}", "/v1/embeddings", b'{"input":"' + text + b'"}')


def _forms(size: int) -> Iterator[Hostile]:
    part = b'--b\r\nContent-Disposition: form-data; name="%b"%b\r\n\r\n'
    end = b"\r\n--b--\r\n"
    for kind, before, piece in (
        ("empty parts", b"", b"--b\r\n\r\n\r\n"),
        ("small files", b"", part % (b"files", b'; filename="a"') + b"x\r\n"),
        ("small fields", b"", part % (b"normalize", b"") + b"x\r\n"),
        ("headers", b"--b\r\n", b"a:b\r\n"),
        ("a long header", b"--b\r\na:", b"x"),
        ("a long disposition", b"--b\r\nContent-Disposition: form-data", b';a="b"'),
        ("line ends", part % (b"files", b""), b"\r\n"),
        ("almost boundaries", part % (b"files", b""), b"\r\n--"),
        ("no boundary", b"", b"x"),
        ("a preamble", b"\r\n", b"\r\n-"),
        ("an epilogue", part % (b"files", b"") + end, b"--b\r\n"),
    ):
        yield Hostile(f"form: {kind}", "/embed", _repeated(before, piece, end, size), dict(FORM))
    for boundary in ("", "x" * 60_000, "é", '"'):
        told = {
            "Content-Type": f"multipart/form-data; boundary={boundary}".encode().decode("latin-1")
        }
        yield Hostile(f"form: boundary {boundary[:5]!r}", "/embed", b"--b--", told)


def _headers() -> Iterator[Hostile]:
    good = json.dumps(GOOD["/v1/embeddings"]).encode()
    for name, value in (
        ("X-Request-Timeout-Ms", "9" * 5000),
        ("X-Request-Timeout-Ms", "-1"),
        ("X-Request-Id", "x" * 60_000),
        ("Accept", "a/b;q=0.5," * 6_000),
        ("Content-Encoding", "gzip, " * 9_000),
        ("Content-Type", "application/json;" + "a=b;" * 15_000),
        ("Authorization", "Bearer " + "x" * 60_000),
    ):
        path = "/embed" if name == "Accept" else "/v1/embeddings"
        yield Hostile(f"{name}: {value[:12]}", path, good, JSON | {name: value})
    query = "&".join(f"a{i}" for i in range(9_000))
    yield Hostile("a query of many names", f"/embed?{query}", b"x", {"Content-Type": "image/png"})


def variations(seed: int, count: int) -> Iterator[Hostile]:
    """Small bodies: a good one with a piece cut, doubled, or put in place of another."""
    random_ = random.Random(seed)  # noqa: S311 - not for secrets
    spice = [b"null", b"1e999", b"-0", b"[]", b"{}", b'"\\ud800"', b"[[[[", b"\xff", b"\0", b'""']
    whole = [(path, json.dumps(good).encode(), JSON) for path, good in GOOD.items()]
    whole += [(one.path, one.body, one.headers) for one in _forms(300)]
    for number in range(count):
        path, body, headers = random_.choice(whole)
        for _ in range(random_.randint(1, 3)):
            start = random_.randrange(len(body) + 1)
            end = min(len(body), start + random_.choice((0, 1, 4, 30)))
            piece = random_.choice([*spice, body[start:end] * 2, b""])
            body = body[:start] + piece + body[end:]
        yield Hostile(f"variation {number}", path, body, dict(headers))
