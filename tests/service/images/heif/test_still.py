from dataclasses import replace

import pytest

from service.errors import InvalidImage
from service.images.heif.still import MAX_UNITS, still
from tests.hostile.heif import CODED, Item, auxiliary, box, clap, grid, heif, ispe

EXIF = Item(b"Exif", b"orientation", (), ((b"cdsc", (1,)),))
GRID = Item(b"grid", grid(2, 1, 120, 60), (ispe(120, 60),), ((b"dimg", (2, 3)),))
TILES = [replace(CODED, hidden=True)] * 2
IROT = box(b"irot", b"\1")


def with_properties(item: Item, *more: bytes) -> Item:
    return replace(item, properties=item.properties + more)


def alpha_of(*items: int, name: bytes = b"urn:mpeg:hevc:2015:auxid:1") -> Item:
    return replace(
        with_properties(CODED, auxiliary(name)), references=((b"auxl", items),), hidden=True
    )


def test_a_picture_alone_is_left_as_it_is():
    data = heif([CODED])
    assert still(data) == (data, 64 * 64)


@pytest.mark.parametrize(
    ("items", "blocks"),
    [
        ([replace(CODED, properties=(CODED.properties[0], ispe(65, 640)))], 2 * 10),
        ([GRID, *TILES], 2),
        ([CODED, alpha_of(1)], 2),
        ([CODED, alpha_of(1, name=b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha")], 2),
        ([CODED, alpha_of(1, name=b"urn:mpeg:hevc:2015:auxid:2")], 1),  # depth
        ([GRID, *TILES, alpha_of(2)], 3),
        ([with_properties(CODED, IROT, clap(10, 10), box(b"imir", b"\0"))], 1),
    ],
)
def test_counts_what_is_decoded(items, blocks):
    assert still(heif(items))[1] == blocks * 64 * 64


def test_a_transparency_may_be_a_grid():
    properties = (*GRID.properties, auxiliary())
    alpha = Item(b"grid", GRID.data, properties, ((b"dimg", (5, 6)), (b"auxl", (1,))))
    assert still(heif([GRID, *TILES, alpha, *TILES]))[1] == 4 * 64 * 64


@pytest.mark.parametrize("primary", [1, 2])
def test_shows_the_primary_image_alone(primary):
    thumbnail = replace(CODED, references=((b"thmb", (1,)),))
    data = heif([CODED, CODED, thumbnail, EXIF], primary=primary)
    shown, _ = still(data)
    assert len(shown) == len(data)
    assert [shown.count(name) for name in (b"hvc1", b"Exif", b"cdsc", b"thmb")] == [1, 0, 0, 0]
    assert shown.count(b"orientation") == 1  # its bytes stay, unfindable


def test_shows_no_film_and_no_second_still():
    data = heif([CODED])
    shown, _ = still(data + box(b"moov", b"film") + box(b"mini") + data[data.index(b"meta") - 4 :])
    assert [shown.count(name) for name in (b"moov", b"mini", b"meta")] == [0, 0, 1]


def test_what_no_box_holds_is_cut_off():
    data = heif([CODED])
    for tail in (b"\0", b"garbage, longer than a box's head"):
        assert still(data + tail)[0] == data


@pytest.mark.parametrize(
    ("items", "reason"),
    [
        ([replace(CODED, kind=b"av01")], "not a picture in HEVC"),
        ([Item(b"iden", b"", CODED.properties, ((b"dimg", (2,)),)), CODED], "not a picture"),
        ([Item(b"iovl", b"", CODED.properties, ((b"dimg", (2,)),)), CODED], "not a picture"),
        ([GRID, GRID], "not a picture"),
        ([replace(GRID, references=((b"dimg", (1, 1)),))], "twice"),
        ([replace(GRID, references=((b"dimg", (2, 2)),)), *TILES], "twice"),
        ([GRID, *TILES, alpha_of(2, 3)], "twice"),
        ([replace(GRID, data=grid(2, 1, 120, 61)), *TILES], "another size"),
        ([replace(GRID, data=b"\0\0\0\1" + b"\0\x78\0\x3d"), *TILES], "another size"),
        ([GRID, CODED], "damaged"),
        ([with_properties(CODED, IROT, IROT)], "too often"),
        ([GRID, with_properties(CODED, IROT, IROT), CODED], "too often"),
        ([CODED, alpha_of(1), alpha_of(1)], "more than one transparency"),
        ([CODED, alpha_of(1), alpha_of(2)], "more than one transparency"),
        ([CODED, alpha_of(1, 2)], "more than one transparency"),
        ([with_properties(CODED, ispe(64, 64), ispe(64, 65))], "damaged"),
        ([replace(CODED, properties=CODED.properties[1:])], "damaged"),
        ([replace(CODED, properties=CODED.properties[:1])], "damaged"),
        ([replace(CODED, data=CODED.data * 2)], "more than one picture"),
        ([replace(CODED, data=b"")], "more than one picture"),
        ([replace(CODED, data=CODED.data[:-1])], "damaged"),
        ([replace(CODED, data=b"\0\0\0\0" * (MAX_UNITS + 1))], "units of HEVC"),
    ],
)
def test_refuses_what_takes_more_than_it_says(items, reason):
    with pytest.raises(InvalidImage, match=reason):
        still(heif(items))


def test_pictures_beside_the_headers_count():
    unit = CODED.data[4:]
    array = b"\x20\0\1" + len(unit).to_bytes(2) + unit
    for count, data in ((0, CODED.data), (1, b"\0\0\0\2\x4e\1")):
        header = box(b"hvcC", b"\1" + bytes(20) + b"\xff", bytes([count]), array * count)
        still(heif([replace(CODED, data=data, properties=(header, ispe(64, 64)))]))
    header = box(b"hvcC", b"\1" + bytes(20) + b"\xff", b"\1", array)
    with pytest.raises(InvalidImage, match="more than one picture"):
        still(heif([replace(CODED, properties=(header, ispe(64, 64)))]))


def test_lengths_are_of_four_bytes():
    header = box(b"hvcC", b"\1" + bytes(20) + b"\xfd", b"\0")
    with pytest.raises(InvalidImage):
        still(heif([replace(CODED, properties=(header, ispe(64, 64)))]))


def test_no_still_image():
    with pytest.raises(InvalidImage, match="no still image"):
        still(box(b"ftyp", b"hevc", bytes(4)) + box(b"moov"))


def test_cut_anywhere_it_is_refused():
    data = heif([GRID, *TILES, alpha_of(1)])
    for where in range(len(data)):
        with pytest.raises(InvalidImage):
            still(data[:where])
