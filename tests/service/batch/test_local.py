import hashlib

import numpy as np
import pytest

from service.batch import items as items_module
from service.batch import local, sources
from service.batch.items import Item
from service.errors import NotReady
from tests.images import encode, noise


def items(folder):
    return list(sources.listing(sources.find([str(folder)]), []))


def test_rows_come_in_order_with_their_images_faults(photos, embedder, expected):
    listed = items(photos)
    rows = list(local.embed(listed, embedder, normalize=True))
    assert [row.id for row in rows] == [item.id for item in listed]
    good = [row for row in rows if row.error is None]
    assert [(row.width, row.height) for row in good] == [
        (40 + int(row.path[-6:-4]), 36) for row in good
    ]
    data = [item.read() for item in listed if not item.path.endswith("05.png")]
    assert [row.sha256 for row in good] == [hashlib.sha256(image).hexdigest() for image in data]
    for row, vector in zip(good, expected(*data), strict=True):
        np.testing.assert_array_equal(row.vector, vector)
    (bad,) = [row for row in rows if row.error is not None]
    assert bad.error.startswith("invalid_image: ")
    assert bad.sha256 == hashlib.sha256(b"not an image").hexdigest()
    assert bad.vector is None


def test_a_file_that_cannot_be_read_is_a_row(tmp_path, embedder):
    (row,) = local.embed([Item("a", "a", str(tmp_path / "gone.png"))], embedder, normalize=True)
    assert row.error.startswith("unreadable: ")
    assert row.error.endswith("gone.png'")


def test_a_file_that_would_fill_memory_is_not_read(tmp_path, embedder, monkeypatch):
    monkeypatch.setattr(items_module, "MOST_BYTES", 9)
    (tmp_path / "a.png").write_bytes(bytes(10))
    (row,) = local.embed([Item("a", "a", str(tmp_path / "a.png"))], embedder, normalize=True)
    assert row.error == "unreadable: the file is larger than 9 bytes"


def test_no_more_is_read_than_the_window(embedder):
    read = 0

    def endless():
        nonlocal read
        image = encode(noise(32, 32))
        while True:
            read += 1
            yield Item(str(read), "", "", data=image)

    rows = local.embed(endless(), embedder, normalize=False)
    for _ in range(local.AT_ONCE):
        next(rows)
    assert read == local.WINDOW
    next(rows)
    assert read == local.WINDOW + local.AT_ONCE
    rows.close()


def test_no_more_bytes_are_held_than_there_is_room_for(embedder, monkeypatch, expected):
    monkeypatch.setattr(local, "WINDOW_BYTES", 1)
    image = encode(noise(32, 32))
    rows = list(
        local.embed((Item(str(n), "", "", data=image) for n in range(40)), embedder, normalize=True)
    )
    np.testing.assert_array_equal([row.vector for row in rows], expected(image) * 40)


def test_a_failing_engine_ends_the_job(embedder, monkeypatch):
    def fail(*_):
        raise NotReady("the model failed on this run")

    monkeypatch.setattr(embedder, "submit", fail)
    with pytest.raises(NotReady):
        list(local.embed([Item("a", "", "", data=b"x")], embedder, normalize=True))


def test_pending_leaves_out_what_is_done_and_what_comes_twice():
    listed = [Item(name, "", "") for name in "abcbd"]
    pending = local.Pending(listed, [["a"], ["d", "z"]])
    assert [item.id for item in pending] == ["b", "c"]
    assert pending.skipped == 3
