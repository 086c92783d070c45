"""Bounds what a protobuf message may hold, before objects are made of it.

https://protobuf.dev/programming-guides/encoding/
"""

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from service.errors import InvalidRequest

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
BITS = 7
MAX_VARINT_BYTES = 10
TEXT = {FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES}
SMALL_NUMBERS = {FieldDescriptor.TYPE_UINT32}
"""Packed numbers that take four bytes in memory; those of eight count as a part each."""


def check_parts(data: bytes | memoryview, message: Descriptor, most: int) -> int:
    """Check the number of parts in a message: fields, nested fields, elements of lists.

    Two bytes can make an object of a hundred, so that a message of 16 MB would take gigabytes.

    Args:
        data: the message as it came.
        message: its type.
        most: parts that are allowed.

    Returns:
        How many more would have been.

    Raises:
        InvalidRequest: more, or it is not a message.
    """
    at, end, left = 0, len(data), most
    while at < end:
        left -= 1
        if left < 0:
            raise InvalidRequest("the message has too many parts")
        key, at = _varint(data, at)
        number, kind = key >> 3, key & 7
        if kind == VARINT:
            _, at = _varint(data, at)
        elif kind == FIXED64:
            at += 8
        elif kind == FIXED32:
            at += 4
        elif kind == BYTES:
            size, at = _varint(data, at)
            left = _inside(memoryview(data)[at : at + size], message, number, left)
            at += size
        else:
            raise _broken()
    if at > end:
        raise _broken()
    return left


def _inside(payload: memoryview, message: Descriptor, number: int, left: int) -> int:
    """Parts that are left after a field: a message, text, or a list of numbers."""
    field = message.fields_by_number.get(number)
    if field is None or field.type in TEXT:
        return left
    if field.message_type is not None:
        return check_parts(payload, field.message_type, left)
    if field.type not in SMALL_NUMBERS:
        left -= len(payload)
    if left < 0:
        raise InvalidRequest(f"the message has too many numbers in {field.name}")
    return left


def _varint(data: bytes | memoryview, at: int) -> tuple[int, int]:
    """A number, and where it ends."""
    number = 0
    for shift in range(0, MAX_VARINT_BYTES * BITS, BITS):
        if at >= len(data):
            break
        number |= (data[at] & 0x7F) << shift
        at += 1
        if data[at - 1] < 0x80:
            return number, at
    raise _broken()


def _broken() -> InvalidRequest:
    return InvalidRequest("the request is not a message of this method")
