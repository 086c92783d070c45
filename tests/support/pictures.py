"""Some 400 small pictures in every format, mode, depth, kind of metadata and colour, by name."""

import struct
import zlib
from collections.abc import Iterator

import numpy as np
from PIL import Image, PngImagePlugin

from tests.hostile.corpus import chunk, png
from tests.support.images import encode, photos
from tests.support.profiles import PROFILES, of_grey, of_ink

SIDES = (48, 32)
LOSSLESS = {
    "WEBP": {"lossless": True, "exact": True},
    "AVIF": {"quality": 100, "subsampling": "4:4:4"},
}


def pictures() -> Iterator[tuple[str, bytes]]:
    """Each with its name, `FORMAT: what is special about it`."""
    photo = photos()["chelsea"].resize(SIDES)
    yield from modes(photo)
    yield from turned(photo)
    yield from colours(photo)
    yield from metadata(photo)
    yield from of_png(photo)
    yield from of_jpeg(photo)
    yield from animations(photo)
    yield from bitmaps(photo)


def faded(photo: Image.Image) -> Image.Image:
    """With a transparency that goes from none to all."""
    photo = photo.convert("RGBA")
    photo.putalpha(Image.linear_gradient("L").resize(photo.size))
    return photo


def modes(photo: Image.Image) -> Iterator[tuple[str, bytes]]:
    for form in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "AVIF", "ICO"):
        for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"):
            image = faded(photo) if mode in {"LA", "RGBA"} else photo
            image = image.convert(mode) if mode != "I;16" else sixteen(photo)
            for size in (SIDES, (1, 1), (7, 13)):
                try:
                    yield (
                        f"{form}: {mode} {size[0]} x {size[1]}",
                        encode(image.resize(size), form, **LOSSLESS.get(form, {})),
                    )
                except (OSError, ValueError, KeyError):
                    break  # it has no such mode


def sixteen(photo: Image.Image) -> Image.Image:
    return Image.fromarray(np.asarray(photo.convert("L")).astype(np.uint16) * 257)


def turned(photo: Image.Image) -> Iterator[tuple[str, bytes]]:
    for form in ("JPEG", "PNG", "WEBP", "AVIF"):
        for turn in range(10):
            exif = Image.Exif()
            exif[0x0112] = turn
            yield (
                f"{form}: orientation {turn}",
                encode(photo, form, exif=exif, **LOSSLESS.get(form, {})),
            )


def colours(photo: Image.Image) -> Iterator[tuple[str, bytes]]:
    for form in ("JPEG", "PNG", "WEBP", "AVIF"):
        options = LOSSLESS.get(form, {"quality": 95, "subsampling": 0} if form == "JPEG" else {})
        for name, profile in PROFILES.items():
            for mode in ("RGB", "RGBA"):
                if (form, mode) != ("JPEG", "RGBA"):
                    image = faded(photo) if mode == "RGBA" else photo
                    yield (
                        f"{form}: {mode} in {name}",
                        encode(image, form, icc_profile=profile, **options),
                    )
        for name, profile in (("no profile at all", b"x" * 500), ("ink", of_ink())):
            yield f"{form}: RGB in {name}", encode(photo, form, icc_profile=profile, **options)
    for gamma in (1.0, 1.8, 2.2, 3.0):
        for form in ("JPEG", "PNG"):
            yield (
                f"{form}: L in grey {gamma}",
                encode(photo.convert("L"), form, icc_profile=of_grey(gamma)),
            )
    yield "PNG: P in Display P3", encode(photo.quantize(64), icc_profile=PROFILES["Display P3"])
    for paper in (95.0, 80.0):
        ink = photo.convert("CMYK")
        yield (
            f"JPEG: CMYK in ink on {paper}",
            encode(ink, "JPEG", quality=95, icc_profile=of_ink(paper)),
        )
    for primaries in (1, 9, 12):
        for transfer in (1, 4, 8, 13, 16, 18):
            code = bytes([primaries, transfer, 0, 1])
            yield (
                f"PNG: cICP {primaries} {transfer}",
                before_pixels(encode(photo), chunk(b"cICP", code)),
            )
            plain = encode(photo, "AVIF", **LOSSLESS["AVIF"])
            at = plain.index(b"colrnclx") + 8
            code = struct.pack(">HH", primaries, transfer)
            yield f"AVIF: nclx {primaries} {transfer}", plain[:at] + code + plain[at + 4 :]
    chromaticities = (31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)
    for gamma in (45455, 55556, 100000, 20000, 0):
        notes = chunk(b"gAMA", struct.pack(">I", gamma))
        yield f"PNG: gAMA {gamma}", before_pixels(encode(photo), notes)
        notes += chunk(b"cHRM", struct.pack(">8I", *chromaticities))
        yield f"PNG: gAMA {gamma} and cHRM", before_pixels(encode(photo), notes)
        yield (
            f"PNG: gAMA {gamma}, cHRM and sRGB",
            before_pixels(encode(photo), chunk(b"sRGB", b"\0") + notes),
        )


def before_pixels(data: bytes, added: bytes) -> bytes:
    at = data.index(b"IDAT") - 4
    return data[:at] + added + data[at:]


def metadata(photo: Image.Image) -> Iterator[tuple[str, bytes]]:
    exifs = {
        "no header": b"\0\x08\0\x02\x01\x12\0\x03",
        "an address": b"Exif\0\0http://ns.adobe.com/",
        "a header alone": b"Exif\0\0II*\0",
        "a turn in bytes": b"Exif\0\0MM\0*\0\0\0\x08\0\1\1\x12\0\1\0\0\0\1\6\0\0\0\0\0\0\0",
        "a turn in 32 bits": b"Exif\0\0MM\0*\0\0\0\x08\0\1\1\x12\0\4\0\0\0\1\0\0\0\6\0\0\0\0",
        "cut off after a turn": b"Exif\0\0MM\0*\0\0\0\x08\0\x09\1\x12\0\3\0\0\0\1\0\6\0\0",
        "its header twice": b"Exif\0\0Exif\0\0MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\6",
    }
    for form in ("JPEG", "PNG", "WEBP"):
        options = LOSSLESS.get(form, {"quality": 95, "dpi": (72, 72)} if form == "JPEG" else {})
        for name, exif in exifs.items():
            yield f"{form}: EXIF, {name}", encode(photo, form, exif=exif, **options)
    xmp = b'<x:xmpmeta xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/>'
    for form in ("JPEG", "WEBP", "AVIF"):
        yield f"{form}: XMP says 6", encode(photo, form, xmp=xmp, **LOSSLESS.get(form, {}))
    for name, text in {
        "exif": "x",
        "Raw profile type exif": "\nexif\n 8\nno hex\n",
        "XML:com.adobe.xmp": xmp.decode(),
    }.items():
        info = PngImagePlugin.PngInfo()
        info.add_text(name, text)
        yield f"PNG: text {name}", encode(photo, pnginfo=info)
    exif = Image.Exif()
    exif[0x0112] = 6
    raw = b"Exif\0\0" + exif.tobytes()
    info = PngImagePlugin.PngInfo()
    info.add_text("Raw profile type exif", f"\nexif\n{len(raw)}\n{raw.hex()}\n")
    yield "PNG: text Raw profile type exif says 6", encode(photo, pnginfo=info)


def of_png(photo: Image.Image) -> Iterator[tuple[str, bytes]]:
    added = {
        "a large profile": chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(2 << 20))),
        "a text bomb": chunk(b"zTXt", b"x\0\0" + zlib.compress(bytes(16 << 20))),
        "a wrong checksum": chunk(b"tIME", bytes(7))[:-1] + b"?",
        "a short pHYs": chunk(b"pHYs", bytes(3)),
        "an unknown chunk": chunk(b"quUX", bytes(100)),
        "a short acTL": chunk(b"acTL", bytes(3)),
        "a wrong tRNS": chunk(b"tRNS", bytes(6))[:-1] + b"?",
        "a palette it needs not": chunk(b"PLTE", bytes(768)),
    }
    for name, more in added.items():
        yield f"PNG: {name}", before_pixels(encode(photo), more)
    yield "PNG: no end", encode(photo)[:-12]
    ramp = np.linspace(0, 65535, 32 * 48 * 4).reshape(32, 48, 4)
    for color, channels in ((0, 1), (2, 3), (4, 2), (6, 4)):
        for depth in (8, 16):
            kind = ">u2" if depth == 16 else "u1"
            pixels = (ramp[..., :channels] / (1 if depth == 16 else 257)).astype(kind)
            rows = b"".join(b"\0" + row.tobytes() for row in pixels)
            yield (
                f"PNG: colour {color} of {depth} bits",
                png(SIDES, zlib.compress(rows), depth=depth, color=color),
            )
    for depth in (1, 2, 4):
        for color in (0, 3):
            rows = (b"\0" + bytes(range(6 * depth))) * 32
            palette = chunk(b"PLTE", bytes(range(3 * 2**depth))) if color else b""
            for name, trns in (
                ("", b""),
                (" and tRNS", chunk(b"tRNS", b"\0\1" if not color else b"\0\x80")),
            ):
                yield (
                    f"PNG: colour {color} of {depth} bits{name}",
                    png(
                        SIDES, zlib.compress(rows), depth=depth, color=color, before=palette + trns
                    ),
                )


def of_jpeg(photo: Image.Image) -> Iterator[tuple[str, bytes]]:
    for mode in ("L", "RGB", "CMYK"):
        for progressive in (False, True):
            for subsampling in (0, 1, 2):
                for quality in (30, 95):
                    data = encode(
                        photo.convert(mode), "JPEG", progressive=progressive, quality=quality,
                        subsampling=subsampling,
                    )  # fmt: skip
                    kind = "progressive" if progressive else "sequential"
                    name = f"JPEG: {mode}, quality {quality}, {kind}, subsampled {subsampling}"
                    yield name, data
                yield f"{name} without its end", data[:-2]
    data = encode(photo, "JPEG", quality=95, subsampling=0)
    for transform in (0, 1, 2):
        adobe = b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0" + bytes([transform])
        yield f"JPEG: Adobe says {transform}", data[:2] + adobe + data[20:]
        yield f"JPEG: JFIF, then Adobe says {transform}", data[:20] + adobe + data[20:]
    yield "JPEG: kept as RGB", encode(photo, "JPEG", quality=95, keep_rgb=True)


def animations(photo: Image.Image) -> Iterator[tuple[str, bytes]]:
    frames = [photo.rotate(90 * turn) for turn in range(1, 4)]
    for form in ("GIF", "PNG", "WEBP", "AVIF"):
        for transparent in (False, True):
            images = [faded(frame) if transparent else frame for frame in (photo, *frames)]
            name = f"{form}: animation{' with transparency' * transparent}"
            options = LOSSLESS.get(form, {})
            yield name, encode(images[0], form, save_all=True, append_images=images[1:], **options)
    yield (
        "PNG: animation beside a picture",
        encode(photo, save_all=True, append_images=frames, default_image=True),
    )
    gif = encode(photo.quantize(64), "GIF")
    yield "GIF: a frame smaller than its screen", gif[:6] + struct.pack("<HH", 60, 50) + gif[10:]
    yield "GIF: without its end", gif[:-1]
    yield "GIF: transparent", encode(faded(photo), "GIF")


def bitmaps(photo: Image.Image) -> Iterator[tuple[str, bytes]]:
    levels = np.asarray(photo)[::-1].astype(np.uint32)
    fields = {
        "444": ((0xF00, 0xF0, 0xF), 16), "4444": ((0xF00, 0xF0, 0xF, 0xF000), 16),
        "565": ((0xF800, 0x7E0, 0x1F), 16), "555": ((0x7C00, 0x3E0, 0x1F), 16),
        "1555": ((0x7C00, 0x3E0, 0x1F, 0x8000), 16), "swapped 565": ((0x1F, 0x7E0, 0xF800), 16),
        "10 bits": ((0x3FF00000, 0xFFC00, 0x3FF), 32), "RGBX": ((0xFF, 0xFF00, 0xFF0000), 32),
        "8888": ((0xFF0000, 0xFF00, 0xFF, 0xFF000000), 32),
    }  # fmt: skip
    for name, (masks, bits) in fields.items():
        for alpha in ("none", "all") if len(masks) == 4 else ("none",):
            words = np.zeros(levels.shape[:2], np.uint32)
            for channel, mask in enumerate(masks[:3]):
                shift = (mask & -mask).bit_length() - 1
                words |= ((levels[..., channel] * (mask >> shift) + 127) // 255) << shift
            words |= np.uint32(masks[3] if len(masks) == 4 and alpha == "all" else 0)
            rows = words.astype(f"<u{bits // 8}").tobytes()
            size = 56 if len(masks) == 4 else 40
            yield (
                f"BMP: {name}, transparency {alpha}",
                bitmap(photo.size, rows, bits, 3, masks, size),
            )
    grey = np.bitwise_or.reduce(
        (levels.mean(axis=2).astype(np.uint32) // 64).reshape(32, 12, 4) << [6, 4, 2, 0], axis=2
    ).astype(np.uint8)  # fmt: skip
    palette = b"".join(bytes([level, level // 2, level, 0]) for level in (0, 85, 170, 255))
    yield "BMP: 2 bits", bitmap(photo.size, grey.tobytes(), 2, 0, (), 40, palette)
    runs = bytearray()
    for row in levels[..., ::-1].astype(np.uint8):
        for pixel in row[:30]:
            runs += bytes([1, *pixel])
        runs += bytes([0, 18]) + row[30:].tobytes() + b"\0\0"
    yield "BMP: RLE24", bitmap(photo.size, bytes(runs) + b"\0\1", 24, 4, (), 64)
    eight = photo.quantize(64)
    places = np.asarray(eight)[::-1]
    table = np.array(eight.getpalette("RGB")[: 64 * 3] + [0] * 576).reshape(256, 3)[:, ::-1]
    table = b"".join(bytes([*map(int, entry), 0]) for entry in table)
    runs = b"".join(b"".join(bytes([1, int(p)]) for p in row) + b"\0\0" for row in places) + b"\0\1"
    yield "BMP: RLE8", bitmap(photo.size, runs, 8, 1, (), 40, table)
    yield (
        "BMP: RLE8 that skips",
        bitmap(photo.size, b"\0\2\5\5" + b"\x10\7" + b"\0\1", 8, 1, (), 40, table),
    )
    for kind in (1, 2):
        for bitmap_format in ("png", "bmp"):
            for mode in ("RGB", "RGBA"):
                icon = (faded(photo) if mode == "RGBA" else photo).resize((32, 32))
                data = bytearray(encode(icon, "ICO", bitmap_format=bitmap_format, sizes=[(32, 32)]))
                data[2] = kind
                if kind == 2:
                    data[10:14] = bytes(4)
                yield f"{'ICO' if kind == 1 else 'CUR'}: {mode} as {bitmap_format}", bytes(data)


def bitmap(
    size, rows: bytes, bits: int, compression: int, masks, header: int, palette=b""
) -> bytes:
    fields = struct.pack("<iiHHIIIIII", *size, 1, bits, compression, len(rows), 0, 0, 0, 0)
    after = b"".join(struct.pack("<I", mask) for mask in masks)
    if header == 40:
        head = struct.pack("<I", 40) + fields + after + palette
    else:
        head = struct.pack("<I", header) + (fields + after).ljust(header - 4, b"\0") + palette
    begins = 14 + len(head)
    return struct.pack("<2sIII", b"BM", begins + len(rows), 0, begins) + head + rows
