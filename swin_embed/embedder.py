"""Image embeddings in this process: the service's engine, without a service."""

import asyncio
import os
import threading
from collections.abc import AsyncIterable, AsyncIterator, Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, TypeVar, cast

import numpy as np
import numpy.typing as npt
from PIL import Image
from pydantic import ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource
from tqdm.auto import tqdm

from model_export.model_card import ModelCard
from service.engine import embedder as engine
from service.errors import ImageTooLarge, InvalidImage
from service.observability.observer import Observer
from service.settings import Settings
from service.types import Embedding
from swin_embed import artifacts, inputs, pipeline
from swin_embed.artifacts import Precision
from swin_embed.inputs import ImageInput, Input

Vector = npt.NDArray[np.float32]
"""float32 `[dim]`."""

Errors = Literal["raise", "null"]

T = TypeVar("T")

NO_LIMIT = 2**31
"""Places in the queue: in effect unlimited, as each call submits only a window of images."""


class _Given(Settings):
    """Settings that ignore the environment."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        *_: PydanticBaseSettingsSource,
        **__: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)


class Embedder:
    """Turns images into vectors with a Swin Transformer, as `swin-embed serve` does, bit for bit.

    It holds the model and the threads that run it, so make one and keep it; `close`, or the end of
    a `with` block, ends them. Any number of threads may use one at once.

        with Embedder("swin_tiny_patch4_window7_224") as embedder:
            vectors = embedder.embed(["cat.jpg", "dog.webp"])    # float32 [2, 768]
            cosine = vectors[0] @ vectors[1]                     # they have unit length

    Settings in the environment (`SWIN_*`) do not count here.

    Attributes:
        card: what is known of the model: its name, architecture, preprocessing, weights.
        digest: SHA-256 of its file. Vectors compare if they are of one digest.
        dimensions: numbers in a vector.
    """

    def __init__(
        self,
        model: str | Path | None = None,
        *,
        weights: str | None = None,
        precision: Precision | None = None,
        device: str = "auto",
        preprocess: Literal["fast", "exact"] = "fast",
        max_image_pixels: int = 64_000_000,
        streams: int | None = None,
        threads_per_stream: int | None = None,
        home: str | Path | None = None,
    ) -> None:
        """Load a model. If it is not an artifact yet, one is made and kept for next time.

        Args:
            model: a published name, such as `swin_tiny_patch4_window7_224`, a checkpoint (a file, a
                folder, `hf://ORG/REPOSITORY[@REVISION]`) or an .onnx file; None is the small model
                that comes with the package.
            weights: of a published name, where they are not its own: a checkpoint, or `random`.
            precision: of a model that is made: `fp32` (None), `fp16` for GPUs, `int8` for CPUs.
            device: `auto`, `cpu`, `cuda`, `tensorrt`, or GPUs by number such as `cuda:0,cuda:1`.
            preprocess: `exact` resamples every pixel; `fast` decodes large JPEGs at a fraction of
                their size.
            max_image_pixels: width x height of the largest image that is decoded.
            streams: runs at once; None is one for each core, two for each GPU.
            threads_per_stream: threads of a run.
            home: the folder of models that are kept; None is `swin-embed` in the user's cache.

        Raises:
            ValueError: an argument is out of range.
            ArtifactError, ExportError: there is no such model, or it cannot be made.
            DeviceError: the device cannot be had.
        """
        given: dict[str, Any] = {
            "device": device,
            "preprocess": preprocess,
            "max_image_pixels": max_image_pixels,
            "max_queue_size": NO_LIMIT,
            "streams": streams,
            "threads_per_stream": threads_per_stream,
        }
        try:
            settings = _Given(**given)
        except ValidationError as error:
            problems = (
                f"{problem['loc'][0]}: {problem['msg'].removeprefix('Value error, ')}"
                for problem in error.errors()
            )
            raise ValueError("; ".join(problems)) from None
        kept = None if home is None else Path(home)
        path = artifacts.find(model, weights=weights, precision=precision, home=kept)
        self._engine = engine.Embedder(settings.model_copy(update={"model": path}), Observer())
        self._closed = False
        self._process = os.getpid()  # its threads do not come along into a fork
        self.card: ModelCard = self._engine.card
        self.digest: str = self._engine.model.digest
        self.dimensions: int = self.card.embedding_dim

    def embed(
        self,
        images: Iterable[ImageInput],
        *,
        normalize: bool = True,
        errors: Errors = "raise",
        progress: bool = False,
    ) -> npt.NDArray[np.float32]:
        """The vectors of images: float32 `[n, dimensions]`, in the order of the images.

        Args:
            images: paths, encoded images as bytes, open files, Pillow images, NumPy arrays (uint8
                `[height, width]`, `[height, width, 3]` RGB, `[height, width, 4]` RGBA), in any mix.
            normalize: give vectors unit length, so that the product of two is their cosine.
            errors: what becomes of an image that cannot be read or decoded: `raise` its error, or
                have a row of NaN (`null`).
            progress: show a bar.

        Raises:
            TypeError, ValueError: something among the images is no image, whatever `errors` says.
            OSError: a file cannot be read.
            InvalidImage: it is no image, or a damaged one; `param` says which of them.
            ImageTooLarge: it has too many pixels.
        """
        found = self.embed_iter(images, normalize=normalize, errors=errors, progress=progress)
        missing = np.full(self.dimensions, np.nan, np.float32)
        rows = [missing if vector is None else vector for vector in found]
        return np.stack(rows) if rows else np.empty((0, self.dimensions), np.float32)

    def embed_iter(
        self,
        images: Iterable[ImageInput],
        *,
        normalize: bool = True,
        errors: Errors = "raise",
        progress: bool = False,
    ) -> Generator[Vector | None]:
        """Embed more images than fit in memory: vectors `[dimensions]`, one by one.

        Images are taken as their vectors are, some hundreds of them or 256 MiB ahead. With
        `errors="null"` an image that cannot be read or decoded gives None.
        """
        if errors not in ("raise", "null"):
            raise ValueError(f'errors is "raise" or "null", not {errors!r}')
        _check_several(images)
        if self._closed:
            raise ValueError("the embedder is closed")
        if os.getpid() != self._process:
            raise ValueError("the embedder was made before this process forked: make one here")
        return self._embed(images, normalize, errors, progress)

    def _embed(
        self, images: Iterable[ImageInput], normalize: bool, errors: Errors, progress: bool
    ) -> Generator[Vector | None]:
        shown = tqdm(images, unit="image", disable=not progress)
        accepted = (_accept(number, image, errors) for number, image in enumerate(shown))
        with closing(shown), closing(pipeline.embed(accepted, self._engine)) as embedded:
            for number, (image, outcome) in enumerate(embedded):
                if isinstance(outcome, Embedding):
                    vector = outcome.vector
                    yield engine.unit_length(vector) if normalize else vector
                elif errors == "null":
                    yield None
                elif isinstance(outcome, InvalidImage | ImageTooLarge):
                    place = f"images[{number}]"
                    message = f"{place} ({image.name}): {outcome.message}"
                    raise type(outcome)(message, param=place)
                else:
                    raise outcome

    def close(self) -> None:
        """Finish what was begun and end the threads."""
        self._closed = True
        self._engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


_END = object()


class AsyncEmbedder:
    """`Embedder` for asyncio, with the same arguments; use it in `async with`.

        async with AsyncEmbedder() as embedder:
            vectors = await embedder.embed([upload])
            async for vector in embedder.embed_iter(frames):
                ...

    The model is loaded, and images are read and decoded, beside the event loop.
    """

    THREADS = 64
    """The most calls at a time; further calls wait."""

    def __init__(self, model: str | Path | None = None, **options: Any) -> None:  # noqa: ANN401
        self._make = partial(Embedder, model, **options)
        self._threads = ThreadPoolExecutor(self.THREADS, thread_name_prefix="embed")
        self._made: Embedder | None = None

    @property
    def embedder(self) -> Embedder:
        """The `Embedder` behind it; it has `card`, `digest` and `dimensions`.

        Raises:
            ValueError: outside `async with`.
        """
        if self._made is None:
            raise ValueError("an AsyncEmbedder is used within `async with`")
        return self._made

    async def embed(
        self,
        images: Iterable[ImageInput],
        *,
        normalize: bool = True,
        errors: Errors = "raise",
        progress: bool = False,
    ) -> npt.NDArray[np.float32]:
        """As `Embedder.embed`."""
        _check_several(images)
        left = threading.Event()
        work = partial(self.embedder.embed, normalize=normalize, errors=errors, progress=progress)
        try:
            return await self._in_thread(work, _drawn_until(left, images))
        finally:
            left.set()  # a cancelled call embeds no more than it had drawn

    async def embed_iter(
        self,
        images: Iterable[ImageInput] | AsyncIterable[ImageInput],
        *,
        normalize: bool = True,
        errors: Errors = "raise",
        progress: bool = False,
    ) -> AsyncIterator[Vector | None]:
        """As `Embedder.embed_iter`; the images may come asynchronously too."""
        if isinstance(images, AsyncIterable):
            images = _drawn_from(images, asyncio.get_running_loop())
        vectors = self.embedder.embed_iter(
            images, normalize=normalize, errors=errors, progress=progress
        )
        drawing: asyncio.Future[Any] | None = None
        try:
            while True:
                drawing = asyncio.ensure_future(self._in_thread(next, vectors, _END))
                vector = await asyncio.shield(drawing)
                if vector is _END:
                    return
                yield vector
        finally:
            if drawing is not None:  # a generator cannot be closed while it runs
                drawing.add_done_callback(lambda done: done.cancelled() or done.exception())
                drawing.add_done_callback(lambda _: self._threads.submit(vectors.close))

    async def _in_thread(self, work: Callable[..., T], *arguments: object) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, work, *arguments)

    async def __aenter__(self) -> Self:
        self._made = await self._in_thread(self._make)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        embedder, self._made = self.embedder, None
        await self._in_thread(embedder.close)
        self._threads.shutdown(wait=False)


def _drawn_until(left: threading.Event, images: Iterable[ImageInput]) -> Iterator[ImageInput]:
    """Images, until whoever wanted their vectors has left."""
    for image in images:
        if left.is_set():
            return
        yield image


def _drawn_from(
    images: AsyncIterable[ImageInput], loop: asyncio.AbstractEventLoop
) -> Iterator[ImageInput]:
    """Asynchronous images for a thread that is not the loop's."""
    drawn = aiter(images)

    async def next_one() -> ImageInput | object:
        return await anext(drawn, _END)

    while (image := asyncio.run_coroutine_threadsafe(next_one(), loop).result()) is not _END:
        yield cast(ImageInput, image)


def _accept(number: int, image: ImageInput, errors: Errors) -> Input:
    """An image as input; one that cannot be opened becomes an error in its place."""
    try:
        return inputs.accept(image)
    except OSError as error:
        if errors == "raise":
            raise
        return inputs.unreadable(error)
    except (TypeError, ValueError) as error:
        raise type(error)(f"images[{number}]: {error}") from None


def _check_several(images: object) -> None:
    """Refuse a single image where several are expected: a path is iterable too, letter by letter.

    Raises:
        TypeError: it is one.
    """
    alone = isinstance(images, str | os.PathLike | bytes | bytearray | memoryview | Image.Image)
    if isinstance(images, np.ndarray):  # [n, height, width] are several, all of them grey
        alone = images.ndim < 3 or (images.ndim == 3 and images.shape[2] in (3, 4))
    if alone or not isinstance(images, Iterable) or hasattr(images, "read"):
        raise TypeError(f"images are several; for one {type(images).__name__} give a list, [image]")
