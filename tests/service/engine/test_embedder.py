import gc
import math
import sys
import threading
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from service.engine import decoder, placement
from service.engine.embedder import Embedder
from service.engine.stream import Lane
from service.errors import DeviceError
from service.images.readers.exif import ORIENTATION_TAG
from service.observability.metrics import Metrics
from service.settings import Settings
from service.types import Picture
from tests.support.images import encode, noise

SOON = 60.0


@pytest.fixture
def embedder(artifact):
    embedder = Embedder(Settings(model=artifact), Metrics())
    yield embedder
    embedder.close()


def test_an_embedding_tells_the_size_its_image_was_stored_in(embedder):
    exif = Image.Exif()
    exif[ORIENTATION_TAG] = 6
    turned = encode(noise(40, 50), "JPEG", exif=exif)
    pixels = np.zeros((32, 32, 3), np.uint8)
    futures = embedder.submit([encode(noise(60, 44)), turned, pixels], math.inf)
    sizes = [(future.result().width, future.result().height) for future in futures]
    assert sizes == [(60, 44), (40, 50), (32, 32)]


def test_a_file_is_let_go_when_its_vector_is_there(artifact):
    embedder = Embedder(Settings(model=artifact), Metrics())
    image = encode(noise(40, 40))
    held = sys.getrefcount(image)
    gc.disable()  # nothing is to wait for it
    try:
        (future,) = embedder.submit([image], math.inf)
        future.result()
        embedder.close()
        assert sys.getrefcount(image) == held
    finally:
        gc.enable()


def test_a_load_that_fails_leaves_no_thread(artifact):
    def fail():
        raise DeviceError("out of memory")

    def load(settings):
        loaded = placement.load(settings)
        return replace(loaded, lanes=[Lane(loaded.lanes[0].run, prepare=fail)], decode_threads=2)

    before = set(threading.enumerate())
    with pytest.raises(DeviceError):
        Embedder(Settings(model=artifact), Metrics(), load)
    assert set(threading.enumerate()) <= before


def test_the_most_expensive_images_leave_a_stream_to_others(artifact, monkeypatch):
    embedder = Embedder(Settings(model=artifact, streams=2), Metrics())
    largest = b"RIFF\x1a\0\0\0WEBPVP8L\x0e\0\0\0\x2f\xfe\xff\xce\x03\0"  # 16383 x 3900
    gate, begun = threading.Event(), threading.Semaphore(0)
    grey = Picture(np.zeros((32, 32, 3), np.uint8), 32, 32, "webp")

    def decode(data, *_, **__):
        if data == largest:
            begun.release()
            assert gate.wait(SOON)
        return grey

    monkeypatch.setattr(decoder, "preprocess", decode)
    futures = embedder.submit([largest] * 3, math.inf)
    assert begun.acquire(timeout=SOON)
    (photo,) = embedder.submit([encode(noise(9, 9))], SOON)
    photo.result(SOON)
    assert not any(future.done() for future in futures)
    gate.set()
    for future in futures:
        future.result(SOON)
    embedder.close()
