"""The same job on a Ray cluster: listing, then reading and decoding on CPU actors, then the model.

Images travel in bundles, each a block of the dataset: a pickled list of items, then of rows with
their pixels, then of rows. Rows are written where the command runs, as those of `job` are, so parts
are whole, in one series, and go on where they were, whatever happens on the cluster.
"""

import hashlib
import logging
import math
import os
import pickle
import tempfile
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Self

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is reported to Ray's makers

import pyarrow as pa
import ray
from ray.data import ActorPoolStrategy, DataContext, Datasource, ReadTask
from ray.data.block import BlockMetadata
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from model_export.model_card import ModelCard
from service import model
from service.batch import addresses, sources
from service.batch.collection import Collection
from service.batch.errors import ClusterError, reason
from service.batch.items import Item
from service.batch.job import READERS
from service.batch.ledger import Ledger
from service.batch.recipe import Row
from service.batch.sources import Source
from service.embedder import Embedder, unit_length
from service.errors import ImageTooLarge, InvalidImage
from service.metrics import Metrics
from service.preprocess import Pixels, preprocess
from service.settings import Settings

BUNDLE = 32
"""Images of a bundle: what a lost actor has to do again, and a full batch of a GPU."""

BUNDLE_BYTES = 32 * 1024 * 1024
"""Encoded bytes of a bundle, where they come with the listing."""

CALLS = 2
"""Bundles in an actor's hands: it reads or copies one while it works at the other."""

Prepared = list[tuple[Row, Pixels | None]]
"""Rows without vectors, each with its pixels, or none where it has an error."""


class Cluster:
    """A Ray cluster as an engine of jobs.

    The model's file is sent to the nodes; the package has to be installed there.

    Raises:
        ArtifactError: the model file cannot be served.
        ClusterError: there is no cluster at the address.
    """

    def __init__(self, settings: Settings, address: str | None) -> None:
        addresses.check(address)
        loaded = model.load(settings.model, "cpu", 1)  # for its card; vectors come from the nodes
        self.card: ModelCard = loaded.card
        self.digest = loaded.digest
        self.skipped = 0
        self.broken: list[str] = []
        self._settings = settings
        try:
            ray.init(address, logging_level="warning", log_to_driver=False)
        except ConnectionError as error:
            raise ClusterError(f"no Ray cluster at {address}: {reason(error)}") from error

        # Its plan is no news, and what fails is told in one line.
        logging.getLogger("ray.data").setLevel(logging.WARNING)
        for quiet in ("ray.data.exceptions", "ray.data._internal.progress"):
            logging.getLogger(quiet).setLevel(logging.CRITICAL)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        ray.shutdown()

    def rows(
        self, found: Sequence[Source], collection: Collection, *, normalize: bool
    ) -> Generator[Row]:
        """Rows of the images that the collection has none of, in no order.

        Raises:
            ClusterError: the engine failed, or the cluster has gone.
        """
        context = DataContext.get_current()
        context.enable_progress_bars = False
        context.target_max_block_size = 1  # so that every bundle is a block of its own
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        claims = ray.remote(Claims).options(num_cpus=0, scheduling_strategy=here)
        desk = claims.remote(collection)
        try:
            dataset = ray.data.read_datasource(Listing(found, desk), num_cpus=0)
            dataset = dataset.map(
                Prepare,
                fn_constructor_args=(self._settings, self.card),
                compute=self._pool(),
                num_cpus=self._decoder_cpus(),
            )
            dataset = dataset.map(
                Embed,
                fn_constructor_args=(*self._engine(), normalize),
                compute=self._pool(),
                **self._share(),
            )
            for block in dataset.iter_rows():
                yield from pickle.loads(block["bundle"])  # noqa: S301 - from our own actors
            self.skipped, self.broken = ray.get(desk.told.remote())
        except ray.exceptions.RayError as error:
            raise ClusterError(f"the job failed on the cluster: {_cause(error)}") from error

    def _on_gpu(self) -> bool:
        device = self._settings.device
        return device != "cpu" and (device != "auto" or "GPU" in ray.cluster_resources())

    def _pool(self) -> ActorPoolStrategy:
        return ActorPoolStrategy(
            min_size=1,
            max_size=max(2, int(ray.cluster_resources().get("CPU", 0))),
            max_concurrent_calls_per_actor=CALLS,
            enable_true_multi_threading=True,
        )

    def _decoder_cpus(self) -> int:
        """CPUs that an actor which decodes asks for.

        None where models run on CPUs: after the loss of a node those could hold all that are left,
        and wait for a decoder that finds no room. The operating system shares the cores.
        """
        return 1 if self._on_gpu() else 0

    def _share(self) -> dict[str, float]:
        """What an actor with a model asks the cluster for."""
        if self._on_gpu():
            return {"num_gpus": 1}
        streams, threads = self._settings.streams or 1, self._settings.threads_per_stream or 1
        return {"num_cpus": streams * threads}

    def _engine(self) -> tuple[Settings, Any]:
        """Settings of an actor with a model, and its file, in the object store."""
        assert self._settings.model is not None  # noqa: S101 - it was loaded
        given: dict[str, Any] = {"device": "cpu", "streams": self._settings.streams or 1}
        given["threads_per_stream"] = self._settings.threads_per_stream or 1
        if self._on_gpu():
            given = {"device": "cuda"} if self._settings.device == "auto" else {}
        given["max_queue_size"] = CALLS * BUNDLE
        settings = self._settings.model_copy(update=given)
        return settings, ray.put(self._settings.model.read_bytes())


def _cause(error: Exception) -> str:
    return reason(error).rpartition("Error: ")[2]


class Claims:
    """Which listing has which image, so that each is embedded once, and what there is to tell.

    A listing that is done again, because a node was lost, gets the same answers.
    """

    def __init__(self, collection: Collection) -> None:
        self._ledger = Ledger()
        self._skipped: dict[int, int] = {}
        self._broken: dict[str, None] = {}
        for table in collection.tables("id"):
            self._ledger.add_all(table["id"].to_pylist())

    def claim(self, first: int, names: Sequence[str]) -> list[bool]:
        """Which of the ids are new; the numbers of the listed images start at `first`."""
        new = [self._ledger.claim(name, first + n) for n, name in enumerate(names)]
        self._skipped[first] = new.count(False)
        return new

    def tell(self, broken: Sequence[str]) -> None:
        """Note sources that cannot be read to their end."""
        self._broken.update(dict.fromkeys(broken))

    def told(self) -> tuple[int, list[str]]:
        """Images left out, and sources that cannot be read to their end."""
        return sum(self._skipped.values()), list(self._broken)


class Listing(Datasource):  # type: ignore[misc]  # Ray's types are skipped
    """Bundles of what sources list, as a task of Ray Data each."""

    def __init__(self, found: Sequence[Source], claims: Any) -> None:  # noqa: ANN401 - an actor
        super().__init__()
        self._found = found
        self._claims = claims

    def estimate_inmemory_data_size(self) -> None:
        return None

    def get_read_tasks(self, *_: object, **__: object) -> list[ReadTask]:
        unknown = BlockMetadata(num_rows=None, size_bytes=None, exec_stats=None)
        return [
            ReadTask(partial(_bundles, number, source, self._claims), unknown)
            for number, source in enumerate(self._found, 1)
        ]


def _bundles(number: int, source: Source, claims: Any) -> Iterator[pa.Table]:  # noqa: ANN401
    """What a source lists and nobody else has, in bundles."""
    first = number << 40
    broken: list[str] = []
    for bundle in _bundled(sources.listing([source], broken)):
        new = ray.get(claims.claim.remote(first, [item.id for item in bundle]))
        first += len(bundle)
        kept = [item for item, is_new in zip(bundle, new, strict=True) if is_new]
        if kept:
            yield pa.table({"bundle": pa.array([pickle.dumps(kept)], pa.large_binary())})
    ray.get(claims.tell.remote(broken))


def _bundled(items: Iterable[Item]) -> Iterator[list[Item]]:
    bundle: list[Item] = []
    size = 0
    for item in items:
        bundle.append(item)
        size += len(item.data or b"")
        if len(bundle) == BUNDLE or size >= BUNDLE_BYTES:
            yield bundle
            bundle, size = [], 0
    if bundle:
        yield bundle


class Prepare:
    """Reads and decodes bundles."""

    def __init__(self, settings: Settings, card: ModelCard) -> None:
        self._exact = settings.preprocess == "exact"
        self._max_pixels = settings.max_image_pixels
        self._recipe = card.preprocessing
        self._readers = ThreadPoolExecutor(READERS)

    def __call__(self, block: dict[str, bytes]) -> dict[str, bytes]:
        bundle: list[Item] = pickle.loads(block["bundle"])  # noqa: S301 - from our own task
        prepared = [self._decode(row, data) for row, data in self._readers.map(_read, bundle)]
        return {"bundle": pickle.dumps(prepared, pickle.HIGHEST_PROTOCOL)}

    def _decode(self, row: Row, data: bytes | None) -> tuple[Row, Pixels | None]:
        if data is None:
            return row, None
        try:
            picture = preprocess(data, self._recipe, self._max_pixels, exact=self._exact)
        except (InvalidImage, ImageTooLarge) as error:
            return row.refused(error), None
        return replace(row, width=picture.width, height=picture.height), picture.pixels


def _read(item: Item) -> tuple[Row, bytes | None]:
    try:
        data = item.read()
    except Exception as error:  # whatever its protocol raises
        return Row.unreadable(item, error), None
    return Row(item.id, item.path, hashlib.sha256(data).hexdigest()), data


class Embed:
    """Runs the model on bundles, through the service's own engine."""

    def __init__(self, settings: Settings, artifact: Any, normalize: bool) -> None:  # noqa: ANN401
        self._normalize = normalize
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.onnx"
            path.write_bytes(ray.get(artifact))
            self._embedder = Embedder(settings.model_copy(update={"model": path}), Metrics())

    def __call__(self, block: dict[str, bytes]) -> dict[str, bytes]:
        prepared: Prepared = pickle.loads(block["bundle"])  # noqa: S301 - from our own actors
        pixels = [image for _, image in prepared if image is not None]
        futures = iter(self._embedder.submit(pixels, math.inf))
        rows = []
        for row, image in prepared:
            if image is not None:
                vector = next(futures).result().vector
                row = replace(row, vector=unit_length(vector) if self._normalize else vector)
            rows.append(row)
        return {"bundle": pickle.dumps(rows, pickle.HIGHEST_PROTOCOL)}
