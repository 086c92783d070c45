import hashlib
from concurrent.futures import Future

import numpy as np
import pytest

from service.errors import NotReady
from service.types import Embedding
from swin_embed import pipeline
from swin_embed.batch import items as items_module
from swin_embed.batch import local, sources
from swin_embed.batch.items import Item
from tests.support.eventually import eventually
from tests.support.images import encode, noise


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


@pytest.fixture
def full_window(monkeypatch):
    """Have no row come before the window is full."""
    monkeypatch.setattr(pipeline, "_done", lambda reading: False)


def test_no_more_is_read_than_the_window(embedder, full_window):
    read = 0

    def endless():
        nonlocal read
        image = encode(noise(32, 32))
        while True:
            read += 1
            yield Item(str(read), "", "", data=image)

    rows = local.embed(endless(), embedder, normalize=False)
    for _ in range(pipeline.AT_ONCE):
        next(rows)
    assert read == pipeline.WINDOW
    next(rows)
    assert read == pipeline.WINDOW + pipeline.AT_ONCE
    rows.close()


@pytest.fixture
def submitted(embedder, monkeypatch):
    """The futures of all images that the engine is given."""
    futures = []
    submit = embedder.submit

    def noted(images, timeout_s):
        given = submit(images, timeout_s)
        futures.extend(given)
        return given

    monkeypatch.setattr(embedder, "submit", noted)
    return futures


def test_a_file_is_read_when_there_is_room_for_it(embedder, monkeypatch, submitted, expected):
    monkeypatch.setattr(pipeline, "WINDOW_BYTES", 1)
    image = encode(noise(32, 32))
    (vector,) = expected(image)
    submitted.clear()
    still_held = []

    class File(Item):
        def read(self, size=None):
            still_held.extend(future for future in submitted if not future.done())
            return super().read()

    files = (File(str(n), "", "", data=image) for n in range(40))
    rows = list(local.embed(files, embedder, normalize=True))
    np.testing.assert_array_equal([row.vector for row in rows], [vector] * 40)
    assert not still_held


def test_a_file_that_fails_gives_its_room_back(embedder, monkeypatch, tmp_path):
    monkeypatch.setattr(pipeline, "WINDOW_BYTES", 1)
    (tmp_path / "a.png").write_bytes(encode(noise(32, 32)))

    class Gone(Item):
        def read(self, size=None):
            raise OSError("gone")

    files = [kind("a", "a", str(tmp_path / "a.png")) for kind in (Gone, Gone, Item)]
    *gone, good = local.embed(files, embedder, normalize=True)
    assert [row.error for row in gone] == ["unreadable: gone"] * 2
    assert good.error is None


def test_a_fault_that_waits_for_its_row_holds_no_file(embedder, submitted, full_window):
    files = (Item(str(n), "", "", data=b"not an image") for n in range(pipeline.WINDOW))
    rows = local.embed(files, embedder, normalize=True)
    next(rows)
    waiting = submitted[pipeline.AT_ONCE :]
    assert waiting
    eventually(lambda: all(future.done() for future in waiting))
    eventually(lambda: all(future.exception().__traceback__ is None for future in waiting))
    rows.close()


def test_what_nobody_waits_for_any_more_is_dropped(embedder, monkeypatch, full_window):
    futures = []

    def submit(images, timeout_s):
        futures.append(Future())
        if len(futures) <= pipeline.AT_ONCE:
            futures[-1].set_result(Embedding(np.ones(3, np.float32), 0, 0, 0, 1, 1))
        return futures[-1:]

    monkeypatch.setattr(pipeline, "READERS", 1)
    monkeypatch.setattr(embedder, "submit", submit)
    files = (Item(str(n), "", "", data=b"x") for n in range(pipeline.WINDOW))
    rows = local.embed(files, embedder, normalize=True)
    next(rows)
    eventually(lambda: len(futures) > 2 * pipeline.AT_ONCE)
    rows.close()
    eventually(lambda: all(future.done() for future in futures))
    assert all(future.cancelled() for future in futures[pipeline.AT_ONCE :])


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
