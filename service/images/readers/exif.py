"""The orientation in EXIF metadata, and 1 where that cannot be read."""

import struct

ORIENTATION_TAG = 0x0112

PREFIX = b"Exif\0\0"
ORDERS = {b"II*\0": "<", b"MM\0*": ">"}
SHORT = 3


def orientation(exif: bytes) -> int:
    """What the first directory of EXIF says of how an image is turned: 1 to 8.

    As browsers read it: one header, a number of 16 bits.

    Of a directory that is cut off, the entries that are there count.
    """
    exif = exif.removeprefix(PREFIX)
    order = ORDERS.get(exif[:4])
    if order is None:
        return 1
    try:
        (at,) = struct.unpack_from(f"{order}I", exif, 4)
        (entries,) = struct.unpack_from(f"{order}H", exif, at)
        for number in range(entries):
            tag, kind, _ = struct.unpack_from(f"{order}HHI", exif, at + 2 + 12 * number)
            if tag == ORIENTATION_TAG and kind == SHORT:
                (turn,) = struct.unpack_from(f"{order}H", exif, at + 2 + 12 * number + 8)
                return turn if 1 <= turn <= 8 else 1
    except struct.error:
        pass
    return 1
