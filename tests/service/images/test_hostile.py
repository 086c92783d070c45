"""A few hundred of the hostile images that `make hostile` posts by the ten thousand."""

from itertools import islice

import numpy as np
import pytest
from PIL import Image

from service.errors import ImageTooLarge, InvalidImage
from service.images import limits
from service.images.preprocess import preprocess
from service.images.readers import jpeg as jpeg_reader
from service.images.readers import tiff as tiff_reader
from tests.hostile.attack import Attack
from tests.hostile.corpus import bomb, samples, scans, shared, tiff, tiles
from tests.service.images.test_preprocess import SWIN_224
from tests.support.images import encode, jpeg
from tests.support.process import running

REFUSED = {
    "png_over_the_limit": ImageTooLarge,
    "png_of_empty_texts": InvalidImage,
    "png_of_empty_pixels": InvalidImage,
    "png_of_empty_ends": InvalidImage,
    "gif_of_comments": InvalidImage,
    "jpeg_of_fill_bytes": InvalidImage,
    "jpeg_of_comments": InvalidImage,
    "jpeg_of_scans": InvalidImage,
    "tiff_of_scans": InvalidImage,
    "tiff_of_tall_tiles": ImageTooLarge,
    "tiff_of_the_same_tile": InvalidImage,
    "tiff_of_tiles": InvalidImage,
    "tiff_of_one_huge_tile": ImageTooLarge,
}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Pillow warns of some of the files that are made here
def test_the_server_survives_and_keeps_its_vectors(artifact):
    with running(model=artifact) as (process, address):
        attack = Attack(address, jpeg("astronaut"))
        attack.run(iter(list(islice(samples(seed=2), 300))), 300, clients=4)
        assert process.poll() is None
    statuses = attack.report.statuses()
    assert sum(statuses.values()) == 300
    assert set(statuses) <= {200, 400, 413, 415, 422}, attack.report.answers
    assert attack.report.photos == 6
    assert len(attack.report.vectors) == 1
    (vector,) = attack.report.vectors
    assert len(vector) == 4 * 128


@pytest.mark.parametrize("name", ["png_text_bomb", "png_profile_bomb"])
def test_a_bomb_where_no_pixels_are_is_not_met(name):
    assert preprocess(bomb(name), SWIN_224, 64_000_000).format == "png"


@pytest.mark.parametrize("name", REFUSED)
def test_a_bomb_is_refused(name):
    with pytest.raises(REFUSED[name]):
        preprocess(bomb(name), SWIN_224, 64_000_000)


def test_scans_and_parts_up_to_the_limits_are_read():
    assert preprocess(scans((32, 32), 14), SWIN_224, 10_000).format == "jpeg"
    with pytest.raises(InvalidImage, match="20 scans"):
        preprocess(scans((32, 32), 15), SWIN_224, 10_000)
    assert preprocess(tiles(10_000), SWIN_224, 10_000).format == "tiff"
    jpegs = shared((32, 32), (16, 16), 7, scans((16, 16), 13))
    assert preprocess(jpegs, SWIN_224, 10_000).format == "tiff"


def test_what_follows_a_jpeg_does_not_count():
    """A phone's moving photo ends in a video, in which scans begin by chance."""
    video = np.random.default_rng(0).bytes(4_000_000)
    assert video.count(b"\xff\xda") > limits.MAX_SCANS
    for photo in (scans((32, 32), 2), jpeg("china")):
        assert preprocess(photo + video, SWIN_224, 1_000_000).format == "jpeg"


def test_scans_behind_what_looks_like_an_end_count():
    data = scans((32, 32), 15)
    second = data.index(b"\xff\xda", data.index(b"\xff\xda") + 2)
    comment = b"\xff\xfe\0\4\xff\xd9"
    for hidden in (comment, b"\xff\0\xff\xd0\xff\xff" + comment):
        with pytest.raises(InvalidImage, match="20 scans"):
            jpeg_reader.open_image(data[:second] + hidden + data[second:], 10_000)


def test_segments_are_counted():
    with pytest.raises(InvalidImage, match="segments"):
        jpeg_reader.open_image(b"\xff\xd8" + b"\xff\xfe\0\2" * 20_000, 10_000)


def test_a_tag_comes_once():
    entries = [(256, 4, 1, 8), (256, 4, 1, 9), (257, 4, 1, 8)]
    with pytest.raises(InvalidImage, match="twice"):
        tiff_reader.open_image(tiff(entries), 10_000)


@pytest.mark.parametrize("size", [(1, 65_536), (65_536, 1)])
def test_a_line_of_pixels_is_refused(size):
    with pytest.raises(ImageTooLarge, match="a side"):
        preprocess(encode(Image.new("L", size)), SWIN_224, 64_000_000)
    longest = Image.new("L", tuple(min(side, 65_535) for side in size))
    assert preprocess(encode(longest), SWIN_224, 64_000_000).format == "png"


def test_a_directory_that_claims_too_many_entries_hides_no_parts():
    data = bytearray(tiles(200_000))
    data[8:10] = b"\xff\xff"
    with pytest.raises(InvalidImage, match=r"twice|200000 parts"):
        tiff_reader.open_image(bytes(data), 10_000)


def test_a_directory_beyond_what_a_file_can_have():
    """Found by fuzzing: a BigTIFF whose offset is over 2**63."""
    with pytest.raises(InvalidImage):
        preprocess(b"II+\0\x08\0\0\0" + b"\x97" * 32, SWIN_224, 10_000)


def test_a_file_can_be_read_as_often_as_its_length_allows():
    file = limits.MeteredFile(bytes(512 * 100))
    for _ in range(10_100):
        file.read(1)
    with pytest.raises(InvalidImage, match="small parts"):
        file.read(1)


def test_an_image_that_memory_cannot_hold_is_too_large(monkeypatch):
    def fail(*_, **__):
        raise MemoryError

    monkeypatch.setattr("PIL.Image.Image.resize", fail)
    with pytest.raises(ImageTooLarge, match="memory"):
        preprocess(jpeg("china"), SWIN_224, 64_000_000)
