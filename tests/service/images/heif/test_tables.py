import struct
from dataclasses import replace

import pytest

from service.errors import InvalidImage
from service.images.heif.boxes import Box
from service.images.heif.still import still
from service.images.heif.tables import Kind, read
from tests.hostile.heif import CODED, Item, box, full, heif


def meta_of(data: bytes) -> Box:
    at = data.index(b"meta")
    return Box(b"meta", at, at + 4, at - 4 + int.from_bytes(data[at - 4 : at]))


def test_reads_what_items_are_and_where():
    one, other = CODED, Item(b"Exif", b"abc", (), ((b"cdsc", (1,)),))
    data = heif([one, other])
    tables = read(data, meta_of(data))
    assert tables.primary == 1
    assert tables.kinds[2] == Kind(b"Exif", data.index(b"Exif"))
    assert [data[place] for place in tables.places[1]] == [one.data]
    assert [data[place] for place in tables.places[2]] == [b"abc"]
    assert [found.kind for found in tables.properties[1]] == [b"hvcC", b"ispe"]
    assert [(to.box.kind, to.item, to.others) for to in tables.references] == [(b"cdsc", 2, (1,))]


def test_reads_wide_numbers_and_content_in_the_tables():
    """Versions for more items than 65,535, narrow indices, and `idat`."""
    content = b"header" + b"content"
    meta = full(
        b"meta",
        0,
        0,
        full(b"pitm", 1, 0, struct.pack(">I", 70_000)),
        full(
            b"iinf", 1, 0, struct.pack(">I", 1), full(b"infe", 3, 0, b"\0\1\x11\x70\0\0", b"hvc1")
        ),
        full(
            b"iloc",
            2,
            0,
            struct.pack(">HIIHHIHBII", 0x4441, 1, 70_000, 1, 0, 2, 1, 0, 4, 7),
        ),
        box(b"idat", content),
        box(
            b"iprp",
            box(b"ipco", *CODED.properties),
            full(b"ipma", 1, 0, struct.pack(">IIBBB", 1, 70_000, 2, 0x81, 0)),
        ),
        full(b"iref", 1, 0, box(b"dimg", struct.pack(">IHI", 70_000, 1, 3))),
    )
    tables = read(meta, meta_of(meta))
    assert tables.primary == 70_000
    assert tables.kinds[70_000].name == b"hvc1"
    assert [meta[place] for place in tables.places[70_000]] == [content[6:]]
    assert [found.kind for found in tables.properties[70_000]] == [b"hvcC"]
    assert tables.references[0][1:] == (70_000, (3,))


def changed(old: bytes, new: bytes) -> bytes:
    data = heif([CODED, replace(CODED, hidden=True)])
    assert old in data
    return data.replace(old, new)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (heif([CODED], full(b"pitm", 0, 0, b"\0\1")), "a table twice"),
        (changed(b"infe\2\0\0\1\0\2", b"infe\2\0\0\1\0\1"), "lists its items"),
        (changed(b"infe\2\0\0\0", b"infe\1\0\0\0"), "lists its items"),
        (heif([CODED] * 1001), "more than 1000"),
        (heif([CODED, *[Item(b"Exif", references=((b"cdsc", (1,)),))] * 999]), "larger than"),
    ],
)
def test_refuses_what_is_ambiguous_or_too_much(data, reason):
    with pytest.raises(InvalidImage, match=reason):
        still(data)


def places(*entries: bytes) -> bytes:
    """A file whose `iloc` says something else."""
    data = heif([CODED])
    start = data.index(b"iloc") - 4
    end = start + int.from_bytes(data[start : start + 4])
    iloc = full(b"iloc", 1, 0, struct.pack(">HH", 0x4400, len(entries)), *entries)
    meta = data.index(b"meta") - 4
    size = int.from_bytes(data[meta : meta + 4]) + len(iloc) - (end - start)
    return data[:meta] + struct.pack(">I", size) + data[meta + 4 : start] + iloc + data[end:]


@pytest.mark.parametrize(
    "entries",
    [
        (struct.pack(">HHHHII", 1, 0, 0, 1, 20, 8),) * 2,
        (struct.pack(">HHHHII", 1, 2, 0, 1, 20, 8),),
        (struct.pack(">HHHH", 1, 0, 0, 33) + struct.pack(">II", 20, 8) * 33,),
    ],
    ids=["twice", "in another item", "in many pieces"],
)
def test_an_item_is_in_one_place(entries):
    with pytest.raises(InvalidImage, match="too many places"):
        still(places(*entries))


def test_items_may_share_bytes_up_to_a_limit():
    data = heif([CODED])
    still(places(struct.pack(">HHHHII", 1, 0, 0, 1, len(data) - 8, 8)))
    for length in (2**24 + len(data) * 2, 2**32 - 1):
        with pytest.raises(InvalidImage, match="larger than"):
            still(places(struct.pack(">HHHHII", 1, 0, 0, 1, 20, length)))


def test_an_image_is_no_larger_than_its_file():
    """Tiles that are the same bytes would be decoded as often."""
    piece = struct.pack(">II", 0, 40)
    with pytest.raises(InvalidImage, match="image is larger"):
        still(places(struct.pack(">HHHH", 1, 0, 0, 32) + piece * 32))
