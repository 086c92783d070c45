"""ICC profiles for tests: of three primaries and a gamma, of grey, and of ink (ICC.1:2022)."""

import itertools
import struct

import numpy as np

D50 = (0.9642, 1.0, 0.8249)
BRADFORD = np.array(
    [(0.8951, 0.2664, -0.1614), (-0.7502, 1.7135, 0.0367), (0.0389, -0.0685, 1.0296)]
)


def _number(value: float) -> bytes:
    return struct.pack(">i", round(value * 65536))


def _xyz(values) -> bytes:
    return b"XYZ \0\0\0\0" + b"".join(map(_number, values))


def _profile(space: bytes, connection: bytes, tags: dict[bytes, bytes]) -> bytes:
    tags = {b"desc": b"desc\0\0\0\0\0\0\0\2x\0" + bytes(79), b"wtpt": _xyz(D50)} | tags
    kind = b"prtr" if space == b"CMYK" else b"mntr"
    at, directory, bodies = 128 + 4 + 12 * len(tags), struct.pack(">I", len(tags)), b""
    for name, body in tags.items():
        directory += struct.pack(">4sII", name, at + len(bodies), len(body))
        bodies += body + bytes(-len(body) % 4)
    head = struct.pack(
        ">I4sI4s4s4s", at + len(bodies), b"test", 0x02400000, kind, space, connection
    )
    head += (
        struct.pack(">6H", 2020, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + b"".join(map(_number, D50))
    )
    return head.ljust(128, b"\0") + directory + bodies


def _gamma(value: float) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(value * 256)) + b"\0\0"


def of_primaries(primaries, white, gamma: float) -> bytes:
    """A profile of an RGB space by the chromaticities of its primaries and white."""
    columns = np.array([(x / y, 1, (1 - x - y) / y) for x, y in primaries]).T
    x, y = white
    there = np.array([x / y, 1, (1 - x - y) / y])
    matrix = columns * np.linalg.solve(columns, there)
    scale = (BRADFORD @ np.array(D50)) / (BRADFORD @ there)
    matrix = np.linalg.inv(BRADFORD) @ np.diag(scale) @ BRADFORD @ matrix
    tags = {name: _xyz(matrix[:, at]) for at, name in enumerate((b"rXYZ", b"gXYZ", b"bXYZ"))}
    tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), _gamma(gamma))
    return _profile(b"RGB ", b"XYZ ", tags)


def of_grey(gamma: float) -> bytes:
    return _profile(b"GRAY", b"XYZ ", {b"kTRC": _gamma(gamma)})


def of_ink(paper: float = 95.0) -> bytes:
    """A press whose inks are duller than those of a screen: a table of 3 steps each, in Lab."""
    grid = np.array(list(itertools.product((0, 0.5, 1), repeat=4)))  # C, M, Y, K
    c, m, y, k = grid.T
    light = (1 - k * 0.85) * (1 - 0.3 * c) * (1 - 0.4 * m) * (1 - 0.05 * y)
    lab = np.stack(
        [
            paper * light / 100 * 255,
            128 + (1 - k) * (60 * m - 30 * c),
            128 + (1 - k) * (70 * y - 40 * c - 5 * m),
        ],
        axis=1,
    )
    table = np.rint(lab).clip(0, 255).astype(np.uint8).tobytes()
    identity = b"".join(map(_number, (1, 0, 0, 0, 1, 0, 0, 0, 1)))
    ramp = bytes(range(256))
    body = b"mft1\0\0\0\0" + bytes([4, 3, 3, 0]) + identity + ramp * 4 + table + ramp * 3
    return _profile(b"CMYK", b"Lab ", {b"A2B0": body})


D65 = (0.3127, 0.3290)
PROFILES = {
    "Display P3": of_primaries(((0.68, 0.32), (0.265, 0.69), (0.15, 0.06)), D65, 2.2),
    "Adobe RGB": of_primaries(((0.64, 0.33), (0.21, 0.71), (0.15, 0.06)), D65, 2.19921875),
    "ProPhoto": of_primaries(
        ((0.7347, 0.2653), (0.1596, 0.8404), (0.0366, 0.0001)), (0.3457, 0.3585), 1.8
    ),
    "Rec. 2020": of_primaries(((0.708, 0.292), (0.17, 0.797), (0.131, 0.046)), D65, 2.4),
    "swapped": of_primaries(((0.3, 0.6), (0.64, 0.33), (0.15, 0.06)), D65, 2.2),
}  # fmt: skip
