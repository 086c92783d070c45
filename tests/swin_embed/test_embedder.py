"""The engine from Python: the vectors are those of POST /embed, whatever an image is in."""

import asyncio
import io
import threading
import time

import numpy as np
import pytest
from PIL import Image

from swin_embed import AsyncEmbedder, Embedder, ImageTooLarge, InvalidImage, pipeline
from tests.support.images import encode, jpeg, noise, photos


@pytest.fixture(scope="module")
def embedder(artifact):
    with Embedder(artifact) as embedder:
        yield embedder


@pytest.fixture
def posted(client):
    """What the service answers to a file."""

    def post(data: bytes):
        answer = client.post("/embed", content=data, headers={"Accept": "application/octet-stream"})
        assert answer.status_code == 200, answer.text
        return np.frombuffer(answer.content, "<f4")

    return post


FORMATS = {"JPEG": {}, "PNG": {}, "WEBP": {"lossless": True}, "GIF": {}, "BMP": {}, "TIFF": {}}


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("name", ["chelsea", "china"])
def test_a_file_is_the_same_in_whatever_it_comes(embedder, posted, tmp_path, form, name):
    data = encode(photos()[name], form, **FORMATS[form])
    path = tmp_path / "image"
    path.write_bytes(data)
    with path.open("rb") as file, Image.open(path) as opened, Image.open(path) as loaded:
        loaded.load()
        kinds = [path, str(path), data, bytearray(data), memoryview(data), io.BytesIO(data), file]
        vectors = embedder.embed([*kinds, opened])
        # Once decoded it is what a lossless file of its pixels is.
        decoded, pixels = embedder.embed([loaded, np.asarray(loaded.convert("RGB"))])
    np.testing.assert_array_equal(vectors, [posted(data)] * 8)
    np.testing.assert_array_equal([decoded, pixels], [posted(encode(loaded.convert("RGB")))] * 2)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16", "CMYK", "YCbCr"])
def test_pixels_are_what_a_file_of_them_is(embedder, posted, mode):
    image = noise(70, 50)
    if mode == "I;16":
        image = Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)
    else:
        image = image.convert(mode)
    if mode in ("LA", "RGBA"):
        image.putalpha(noise(70, 50, seed=1).convert("L"))
    form = "TIFF" if mode in ("CMYK", "YCbCr") else "PNG"
    (vector,) = embedder.embed([image])
    np.testing.assert_array_equal(vector, posted(encode(image, form)))
    if mode in ("L", "RGB", "RGBA"):
        array = np.asarray(image)
        np.testing.assert_array_equal(embedder.embed([array])[0], vector)
        assert array.ndim != 2 or (embedder.embed([array[:, :, None]])[0] == vector).all()


def test_a_picture_that_lies_on_its_side_is_turned(embedder):
    exif = Image.Exif()
    exif[0x0112] = 6
    image = noise(60, 40)
    lying = Image.open(io.BytesIO(encode(image, "PNG", exif=exif)))
    lying.load()
    upright = image.transpose(Image.Transpose.ROTATE_270)
    lying, upright = embedder.embed([lying, upright])
    np.testing.assert_array_equal(lying, upright)


def test_what_it_knows_of_itself(embedder):
    assert embedder.dimensions == embedder.card.embedding_dim == 128
    assert len(embedder.digest) == 64
    vectors = embedder.embed([noise(9, 9)], normalize=False)
    assert (vectors.dtype, vectors.shape) == (np.float32, (1, 128))
    assert abs(np.linalg.norm(vectors) - 1) > 0.01
    assert embedder.embed([]).shape == (0, 128)


@pytest.mark.parametrize(
    ("images", "error", "message"),
    [
        ("photo.jpg", TypeError, r"give a list, \[image\]"),
        (b"photo", TypeError, r"give a list, \[image\]"),
        (noise(9, 9), TypeError, r"give a list, \[image\]"),
        (io.BytesIO(b"photo"), TypeError, r"give a list, \[image\]"),
        (7, TypeError, r"give a list, \[image\]"),
        ([noise(9, 9), 7], TypeError, r"images\[1\]: a int is no image"),
        ([None], TypeError, r"images\[0\]: a NoneType is no image"),
        ([io.StringIO("x")], TypeError, "open as text"),
        ([np.zeros((9, 9, 3))], ValueError, r"images\[0\]: an array \[9, 9, 3\] of float64"),
        ([np.zeros((9, 9, 2), np.uint8)], ValueError, r"\[9, 9, 2\] of uint8 is no image"),
        ([np.zeros((0, 9, 3), np.uint8)], ValueError, r"\[0, 9, 3\] of uint8 is no image"),
        ([np.zeros(9, np.uint8)], ValueError, r"\[9\] of uint8 is no image"),
        ([np.zeros((2, 9, 9, 3), np.uint8)], ValueError, r"\[2, 9, 9, 3\] of uint8 is no image"),
    ],
)
@pytest.mark.parametrize("errors", ["raise", "null"])
def test_what_is_no_image_is_refused_and_takes_no_place(embedder, images, error, message, errors):
    for _ in range(3):
        with pytest.raises(error, match=message):
            embedder.embed(images, errors=errors)
    assert embedder.embed([noise(9, 9)]).shape == (1, 128)


def test_an_image_that_cannot_be_read_raises_or_is_null(embedder, tmp_path):
    good, gone = encode(noise(9, 9)), tmp_path / "gone.png"
    with pytest.raises(InvalidImage, match=r"images\[1\] \(bytes\): .*known format") as caught:
        embedder.embed([good, b"junk"])
    assert caught.value.param == "images[1]"
    with pytest.raises(FileNotFoundError, match="gone"):
        embedder.embed([good, gone])
    vectors = embedder.embed([good, b"junk", gone, good], errors="null")
    assert np.isnan(vectors).all(axis=1).tolist() == [False, True, True, False]
    found = list(embedder.embed_iter([b"junk", good], errors="null"))
    assert found[0] is None
    with pytest.raises(ValueError, match="null"):
        embedder.embed([good], errors="ignore")


def test_the_environment_does_not_count(artifact, monkeypatch, tmp_path):
    monkeypatch.setenv("SWIN_MODEL", "nowhere.onnx")
    monkeypatch.setenv("SWIN_PORT", "none")
    monkeypatch.setenv("SWIN_MAX_IMAGE_PIXELS", "1")
    with Embedder(artifact) as embedder:
        assert embedder.embed([noise(9, 9)]).shape == (1, 128)
    with Embedder(artifact, max_image_pixels=80) as embedder, pytest.raises(ImageTooLarge):
        embedder.embed([noise(9, 9)])
    with pytest.raises(ValueError, match="device: auto, cpu, cuda or tensorrt"):
        Embedder(artifact, device="abacus")


def test_an_endless_iterable_is_taken_as_its_vectors_are(embedder):
    taken = 0

    def endless():
        nonlocal taken
        while True:
            taken += 1
            yield noise(9, 9)

    vectors = embedder.embed_iter(endless())
    for _ in range(40):
        next(vectors)
    assert taken <= pipeline.WINDOW + pipeline.AT_ONCE + 40
    vectors.close()


def test_large_arrays_are_not_hoarded(embedder, monkeypatch):
    monkeypatch.setattr(pipeline, "WINDOW_BYTES", 4 * 300)
    taken = 0

    def endless():
        nonlocal taken
        while True:
            taken += 1
            yield np.zeros((10, 10, 3), np.uint8)

    vectors = embedder.embed_iter(endless())
    next(vectors)
    assert taken <= 6
    vectors.close()


def test_a_vector_that_is_there_does_not_wait_for_a_full_window(embedder):
    """A camera gives a frame now and then."""
    taken = 0

    def frames():
        nonlocal taken
        while True:
            time.sleep(0.02)
            taken += 1
            yield noise(9, 9)

    vectors = embedder.embed_iter(frames())
    next(vectors)
    assert taken < pipeline.WINDOW
    vectors.close()


def test_a_frame_buffer_may_be_used_again(embedder):
    def frames():
        buffer = np.zeros((20, 20, 3), np.uint8)
        for level in range(100):
            buffer[:] = level
            yield buffer

    found = np.stack(list(embedder.embed_iter(frames())))
    alone = [np.full((20, 20, 3), level, np.uint8) for level in range(100)]
    np.testing.assert_array_equal(found, embedder.embed(alone))


def test_any_number_of_threads(embedder):
    images = [jpeg(name) for name in photos()]
    expected = embedder.embed(images)
    found = []

    def embed():
        found.append(embedder.embed(images * 20))

    threads = [threading.Thread(target=embed) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    for vectors in found:
        np.testing.assert_array_equal(vectors, np.tile(expected, (20, 1)))


def test_closed_it_says_so(artifact):
    embedder = Embedder(artifact)
    embedder.close()
    embedder.close()
    with pytest.raises(ValueError, match="closed"):
        embedder.embed([noise(9, 9)])


def test_in_a_fork_it_says_so(embedder, monkeypatch):
    monkeypatch.setattr("os.getpid", lambda: -1)
    with pytest.raises(ValueError, match="forked: make one here"):
        embedder.embed([noise(8, 8)])


@pytest.mark.parametrize("shape", [(60, 80), (60, 80, 3), (60, 80, 4)])
def test_an_array_that_is_one_image_is_not_its_rows(embedder, shape):
    with pytest.raises(TypeError, match="give a list"):
        embedder.embed(np.zeros(shape, np.uint8))


def test_arrays_of_several_images_are_they(embedder):
    assert len(embedder.embed(np.zeros((2, 60, 80, 3), np.uint8))) == 2
    assert len(embedder.embed(np.zeros((2, 60, 80), np.uint8))) == 2


def test_a_call_that_is_cancelled_ends(artifact):
    drawn = threading.Event()

    def endless():
        while True:
            drawn.set()
            yield np.zeros((8, 8), np.uint8)

    async def run():
        async with AsyncEmbedder(artifact) as twin:
            call = asyncio.create_task(twin.embed(endless()))
            await asyncio.to_thread(drawn.wait)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
        with pytest.raises(ValueError, match="within `async with`"):
            await twin.embed([])

    asyncio.run(run())


def test_asyncio(artifact, embedder):
    images = [noise(9, 9, seed=number) for number in range(300)]

    async def frames():
        for image in images:
            yield image

    async def run():
        async with AsyncEmbedder(artifact) as twin:
            together = await asyncio.gather(*(twin.embed([image]) for image in images))
            one_by_one = [vector async for vector in twin.embed_iter(frames())]
            listed = [vector async for vector in twin.embed_iter(images)]
            async for _ in twin.embed_iter(frames()):
                break  # who leaves early leaves nothing behind
            with pytest.raises(TypeError, match="give a list"):
                await twin.embed("photo.jpg")
            assert twin.embedder.dimensions == 128
        with pytest.raises(ValueError, match="async with"):
            AsyncEmbedder(artifact).embedder  # noqa: B018
        return np.concatenate(together), np.stack(one_by_one), np.stack(listed)

    for vectors in asyncio.run(run()):
        np.testing.assert_array_equal(vectors, embedder.embed(images))
