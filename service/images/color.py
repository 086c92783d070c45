"""What colours in a file mean, and the same colours in sRGB, as screens show them.

A file says it by an ICC profile, by the numbers of ITU-T H.273 (`cICP` in PNG, `nclx` in AVIF), or
by a gamma and chromaticities (PNG). Where it says nothing, or nothing that can be read, its colours
are sRGB already.
"""

import io
import struct
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms

MAX_PROFILE_BYTES = 4 * 1024 * 1024
"""Those of printing presses have 2 MiB."""

PROFILES_KEPT = 8
"""Building what converts by one takes milliseconds, and many images have the same."""

Convert = Callable[[Image.Image], Image.Image]
"""From an image in the file's colours, RGB or CMYK, to one in sRGB."""

SPACES = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK"}
"""Pillow's modes by the colour spaces of profiles."""

D65 = (0.3127, 0.3290)
SRGB = ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060))
PRIMARIES = {
    1: SRGB,
    5: ((0.640, 0.330), (0.290, 0.600), (0.150, 0.060)),
    6: ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070)),
    7: ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070)),
    9: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
    12: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
}
"""Chromaticities of red, green and blue by their number in ITU-T H.273, table 2; white is D65."""

GAMMAS = {4: 2.2, 5: 2.8, 8: 1.0}
VIDEO, SRGB_CURVE, PQ, HLG = {1, 6, 14, 15}, 13, 16, 18
"""Transfer characteristics, table 3."""

SDR_WHITE_NITS = 203
"""Diffuse white of PQ (ITU-R BT.2408)."""

HLG_PEAK_NITS = 1000
HLG_GAMMA = 1.2
"""Of the system, on a screen of that peak (ITU-R BT.2100, table 5)."""

TONES = np.array(
    [
        *((0, 0), (1, 0.5), (1.158, 0.5647), (1.504, 0.6584), (2.088, 0.7605)),
        *((2.794, 0.8469), (3.356, 0.8963), (3.731, 0.9216), (HLG_PEAK_NITS / SDR_WHITE_NITS, 1)),
    ]
)
"""Light of a high range, 1 is diffuse white, and what a plain screen shows of it: as Chromium 156
paints it, seen on ramps of grey."""

BRADFORD = np.array(
    [(0.8951, 0.2664, -0.1614), (-0.7502, 1.7135, 0.0367), (0.0389, -0.0685, 1.0296)]
)
"""From CIE XYZ to what the eye's cones see, in which white adapts."""

Levels = npt.NDArray[np.float64]


class Coding(NamedTuple):
    """What a colour's three numbers mean.

    Attributes:
        primaries: chromaticities of red, green and blue.
        white: that of white.
        linear: what each level of 0 to 255 stands for, float `[256]`; 1 is white.
        transfer: `PQ` or `HLG`, of which levels over 1 are to be expected; else 0.
    """

    primaries: tuple[tuple[float, float], ...]
    white: tuple[float, float]
    linear: Levels
    transfer: int = 0


def _to_xyz(primaries: tuple[tuple[float, float], ...], white: tuple[float, float]) -> Levels:
    """From linear RGB to CIE XYZ, `[3, 3]`: their sum is white."""
    columns = np.array([(x / y, 1, (1 - x - y) / y) for x, y in primaries]).T
    x, y = white
    return columns * np.linalg.solve(columns, np.array([x / y, 1, (1 - x - y) / y]))


WIDE = _to_xyz(PRIMARIES[9], D65)
"""From linear RGB of ITU-R BT.2020 to CIE XYZ."""


def conversion(image: Image.Image) -> Convert | None:
    """How an image, not resized or turned to RGB yet, comes to sRGB; None where it is that.

    Args:
        image: what a reader opened: its `info` may have `icc_profile`, `cICP`, `sRGB`, `gAMA` and
            `cHRM`, as bytes.
    """
    info = image.info
    if coding := _numbered(info.get("cICP", b"")):
        return _by_coding(coding)
    profile = info.get("icc_profile")
    if isinstance(profile, bytes) and 0 < len(profile) <= MAX_PROFILE_BYTES:
        return _by_profile(profile, image.mode)
    if "cICP" in info or "sRGB" in info:
        return None
    gamma = _with_gamma(info.get("gAMA", b""), info.get("cHRM", b""))
    return _by_coding(gamma) if gamma else None


@lru_cache(maxsize=PROFILES_KEPT)
def _by_profile(data: bytes, mode: str) -> Convert | None:
    """By an ICC profile; none where it is damaged, or of another kind of image.

    Relative to the paper's white and without black-point compensation, as browsers do it.
    """
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(data))
        described = SPACES.get(profile.profile.xcolor_space)
        if described is None or (described == "CMYK") != (mode == "CMYK"):
            return None
        transform = ImageCms.buildTransform(
            profile, _srgb(), described, "RGB", ImageCms.Intent.RELATIVE_COLORIMETRIC
        )
    except (ImageCms.PyCMSError, OSError):
        return None

    def convert(image: Image.Image) -> Image.Image:
        given = image.getchannel(0) if described == "L" else image
        done = ImageCms.applyTransform(given, transform)
        assert done is not None  # noqa: S101 - it is not in place
        return done

    return convert


@lru_cache(maxsize=1)
def _srgb() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


def _by_coding(coding: Coding) -> Convert | None:
    to_xyz = _to_xyz(coding.primaries, coding.white)
    from_xyz = np.linalg.inv(_to_xyz(SRGB, D65))
    matrix = from_xyz @ _adapted(to_xyz)
    same = np.abs(matrix - np.eye(3)).max() < 1e-3
    if same and np.array_equal(_encoded(coding.linear), np.arange(256)):
        return None
    to_wide, from_wide = np.linalg.inv(WIDE) @ to_xyz, from_xyz @ WIDE

    def convert(image: Image.Image) -> Image.Image:
        light = coding.linear[np.asarray(image)]  # [height, width, 3]
        if coding.transfer:
            wide = _shown(light @ to_wide.T, coding.transfer)
            return Image.fromarray(_encoded(wide @ from_wide.T))
        return Image.fromarray(_encoded(light @ matrix.T))

    return convert


def _numbered(code: bytes) -> Coding | None:
    """By the numbers of H.273; None where they are unknown, or nothing is given."""
    if len(code) < 2 or code[0] not in PRIMARIES:
        return None
    primaries, transfer = PRIMARIES[code[0]], code[1]
    level = np.arange(256) / 255
    if transfer == SRGB_CURVE:
        linear = _decoded(level)
    elif transfer in VIDEO:  # as screens of video show it (ITU-R BT.1886)
        linear = level**2.4
    elif transfer in GAMMAS:
        linear = level ** GAMMAS[transfer]
    elif transfer == PQ:  # SMPTE ST 2084
        power = level ** (1 / 78.84375)
        fraction = np.maximum(power - 0.8359375, 0) / (18.8515625 - 18.6875 * power)
        linear = fraction ** (1 / 0.1593017578125) * 10_000 / SDR_WHITE_NITS
    elif transfer == HLG:  # ARIB STD-B67
        upper = (np.exp((level - 0.55991073) / 0.17883277) + 0.28466892) / 12
        linear = np.where(level <= 0.5, level**2 / 3, upper)
    else:
        return None
    return Coding(primaries, D65, linear, transfer if transfer in {PQ, HLG} else 0)


def _with_gamma(gamma: bytes, chromaticities: bytes) -> Coding | None:
    """By PNG's own chunks (PNG, 11.3.2.1 and 11.3.2.2); without the second, sRGB's primaries."""
    if len(gamma) != 4 or not 10_000 <= int.from_bytes(gamma) <= 1_000_000:
        return None
    exponent = int.from_bytes(gamma) / 100_000
    linear = (np.arange(256) / 255) ** (1 / exponent)
    if len(chromaticities) != 32:
        # 1 / 2.2 alone is how older files say sRGB.
        return None if gamma == (45_455).to_bytes(4) else Coding(SRGB, D65, linear)
    x, y, *rest = (value / 100_000 for value in struct.unpack(">8I", chromaticities))
    primaries = tuple(zip(rest[::2], rest[1::2], strict=True))
    if any(not 0 < v <= 1 for _, v in ((x, y), *primaries)):
        return None
    area = np.linalg.det([(*primary, 1) for primary in primaries])
    return Coding(primaries, (x, y), linear) if abs(area) > 1e-3 else None


def _adapted(to_xyz: Levels) -> Levels:
    """The same with its white made D65, by Bradford's transform."""
    there = BRADFORD @ to_xyz.sum(axis=1)
    x, y = D65
    here = BRADFORD @ np.array([x / y, 1, (1 - x - y) / y])
    adapted: Levels = np.linalg.inv(BRADFORD) @ np.diag(here / there) @ BRADFORD @ to_xyz
    return adapted


def _shown(light: Levels, transfer: int) -> Levels:
    """What a plain screen shows of light of a high range, in `WIDE` RGB `[height, width, 3]`."""
    if transfer == HLG:  # it is the scene's; a screen makes it darker where it is dark
        light = light * (light @ WIDE[1]).clip(0)[..., None] ** (HLG_GAMMA - 1)
        light *= HLG_PEAK_NITS / SDR_WHITE_NITS
    most = light.max(axis=2, keepdims=True)
    shown: Levels = light * np.interp(most, *TONES.T) / np.maximum(most, np.finfo(np.float64).tiny)
    return shown


def _decoded(level: Levels) -> Levels:
    """SRGB's levels, 0 to 1, as linear light."""
    return np.where(level <= 0.04045, level / 12.92, ((level + 0.055) / 1.055) ** 2.4)


def _encoded(light: Levels) -> npt.NDArray[np.uint8]:
    """Linear light as sRGB's levels."""
    light = light.clip(0, 1)
    curve = 1.055 * light ** (1 / 2.4) - 0.055
    level: Levels = np.where(light <= 0.0031308, 12.92 * light, curve)
    return np.rint(255 * level).astype(np.uint8)
