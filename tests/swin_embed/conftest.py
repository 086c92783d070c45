import math

import pytest

from service.engine.embedder import Embedder, unit_length
from service.observability.observer import Observer
from service.settings import Settings
from tests.support.images import encode, noise


@pytest.fixture(scope="session")
def embedder(artifact):
    embedder = Embedder(Settings(model=artifact), Observer())
    yield embedder
    embedder.close()


@pytest.fixture(scope="session")
def expected(embedder):
    """What the engine itself answers: call it with encoded images."""

    def vectors(*images: bytes):
        return [unit_length(future.result().vector) for future in embedder.submit(images, math.inf)]

    return vectors


@pytest.fixture
def photos(tmp_path):
    """A folder of twelve images, two folders deep, one of them damaged."""
    folder = tmp_path / "photos"
    (folder / "b").mkdir(parents=True)
    for number in range(12):
        parent = folder / "b" if number % 3 == 0 else folder
        (parent / f"{number:02}.png").write_bytes(encode(noise(40 + number, 36, seed=number)))
    (folder / "05.png").write_bytes(b"not an image")
    (folder / "notes.md").write_text("not listed")
    return folder
