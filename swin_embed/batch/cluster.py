"""A job on a Ray cluster: listing, then reading and decoding on CPU actors, then the model.

What runs there is in `bundles`. Rows are written where the command runs, as those of `local` are,
so parts are whole, in one series, and go on where they were, whatever happens on the cluster.
"""

import logging
import os
import pickle
from collections.abc import Generator, Sequence
from typing import Any, Self

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is reported to Ray's makers

import ray
from ray.data import ActorPoolStrategy, DataContext
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from model_export.model_card import ModelCard
from service.engine import model
from service.settings import Settings
from swin_embed.batch import addresses
from swin_embed.batch.bundles import BUNDLE, Claims, Embed, Listing, Prepare
from swin_embed.batch.collection import Collection
from swin_embed.batch.errors import ClusterError, reason
from swin_embed.batch.recipe import Row
from swin_embed.batch.sources import Source

CALLS = 2
"""Bundles that an actor has: it reads or copies one while it works on the other."""


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
        self.card: ModelCard = loaded.card.with_color_profiles(settings.color_profiles)
        self.digest = loaded.digest
        self.skipped = 0
        self.broken: list[str] = []
        self._settings = settings
        try:
            ray.init(address, logging_level="warning", log_to_driver=False)
        except ConnectionError as error:
            raise ClusterError(f"no Ray cluster at {address}: {reason(error)}") from error

        # Nobody needs its plan, and a failure is reported in one line.
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
        """Rows of the images that are not in the collection yet, in no order.

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
        """The CPUs that a decoding actor requests.

        None where models run on CPUs: after the loss of a node those could hold all that are left,
        and wait for a decoder that finds no room. The operating system shares the cores.
        """
        return 1 if self._on_gpu() else 0

    def _share(self) -> dict[str, float]:
        """The resources that an actor with a model requests."""
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
