"""The Prometheus metrics. Dashboards and alerts rely on their names and labels."""

import functools
import time
from collections.abc import Callable
from concurrent.futures import CancelledError, Future

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.registry import Collector

from service.errors import ImageTooLarge, InvalidImage, RequestTimeout
from service.observability.drift import Allowance, Drift
from service.observability.engine_metrics import EngineMetrics
from service.observability.observer import Observer
from service.types import Embedding, Picture

# From a nano model on a GPU (about 1 ms) to the 30 s after which a request is given up, five steps
# a decade: each bound is 1.6 times the one before, so a quantile read off them is within a quarter.
SECONDS = [round(10 ** (step / 5), 4) for step in range(-15, 8)]
BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
IMAGE_SIZES = [4**power for power in range(5, 14)]  # 1 KiB to 64 MiB; 32 x 32 to 8192 x 8192 pixels
EXEMPLAR_LENGTH = 128 - len("request_id")  # OpenMetrics: 128 characters with the label's name
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}


# Each series would bring a second one that tells when it was created; it is of no use here.
disable_created_metrics()  # type: ignore[no-untyped-call]


class Metrics(Observer):
    """The metrics of one process, in a registry of their own; `/metrics` shows `page`."""

    def __init__(self) -> None:
        self._made_at = time.time()
        self.registry = registry = CollectorRegistry()
        self.page: Collector = registry
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        self._make_request_metrics(registry)
        self._make_image_metrics(registry)
        self._make_service_metrics(registry)

    def _make_request_metrics(self, registry: CollectorRegistry) -> None:
        """Of requests and connections."""
        counter = functools.partial(Counter, registry=registry)
        gauge = functools.partial(Gauge, registry=registry)
        histogram = functools.partial(Histogram, registry=registry)
        requests = counter(
            "swin_requests",
            "Requests answered, by door, method and HTTP status",
            ["door", "method", "status"],
        )
        request_duration = histogram(
            "swin_request_duration_seconds",
            "Time from the first byte of a request to the last of its answer",
            ["door"],
            buckets=SECONDS,
        )
        self.in_flight = gauge("swin_requests_in_flight", "Requests being answered now")
        refused_connections = counter(
            "swin_refused_connections",
            "Connections closed on clients: slow, idle, too many, sending too much or no HTTP",
            ["reason"],
        )
        reasons = ("too_many", "slow", "unread", "idle", "large_head", "malformed")
        self._refused_connections = {why: refused_connections.labels(why) for why in reasons}
        rejected = counter(
            "swin_rejected", "Requests turned away, by the code of the error", ["reason"]
        )
        # `labels` looks at each label again, for every request.
        self._requests = functools.cache(requests.labels)
        self._request_duration = functools.cache(request_duration.labels)
        self._rejected = functools.cache(rejected.labels)

    def _make_image_metrics(self, registry: CollectorRegistry) -> None:
        """Of images, runs and vectors."""
        counter = functools.partial(Counter, registry=registry)
        histogram = functools.partial(Histogram, registry=registry)
        images = counter("swin_images", "Images that came in, by what became of them", ["outcome"])
        outcomes = ("ok", "invalid", "refused", "expired", "cancelled", "failed")
        self._images = {outcome: images.labels(outcome) for outcome in outcomes}
        stages = histogram(
            "swin_stage_duration_seconds",
            "Time an image spends in each stage; encode is per response",
            ["stage"],
            buckets=SECONDS,
        )
        self._decode, self._queue, self._inference, self.encode = (
            stages.labels(stage) for stage in ("decode", "queue", "inference", "encode")
        )
        self._batch_size = histogram("swin_batch_size", "Images in a run", buckets=BATCH_SIZES)
        runs = counter("swin_inference_runs", "Runs of the model, by outcome", ["outcome"])
        self._runs_ok, self._runs_failed = runs.labels("ok"), runs.labels("failed")
        self._image_bytes = histogram(
            "swin_image_bytes", "Size of an encoded image", buckets=IMAGE_SIZES
        )
        self._image_pixels = histogram(
            "swin_image_pixels", "Width times height of a decoded image", buckets=IMAGE_SIZES
        )
        self._image_formats = counter(
            "swin_image_formats", "Images decoded, by file format", ["format"]
        )
        self.drift = Drift(registry)
        self._looks_at_pictures, self._looks_at_vectors = Allowance(), Allowance()

    def _make_service_metrics(self, registry: CollectorRegistry) -> None:
        """Of the service as a whole, and of its engine."""
        counter = functools.partial(Counter, registry=registry)
        gauge = functools.partial(Gauge, registry=registry)
        self._memory_budget = gauge(
            "swin_memory_budget_bytes",
            "Memory that bodies, messages, waiting files and unread answers may hold",
        )
        self._memory_held = gauge(
            "swin_memory_held_bytes", "Memory of swin_memory_budget_bytes in use"
        )
        self._start_duration = gauge(
            "swin_start_duration_seconds",
            "Time from the start of the process until it first took requests",
        )
        reloads = counter(
            "swin_model_reloads",
            "Times the model was loaded again while serving, by outcome",
            ["outcome"],
        )
        self._reloads_ok, self._reloads_failed = reloads.labels("ok"), reloads.labels("failed")
        self.engine = EngineMetrics(registry)
        self._ready = gauge("swin_ready", "1 when the service takes requests")

    def observe_start(self) -> float:
        """Note that the service takes requests for the first time; seconds since its process began.

        Where there is no /proc, since this was made.
        """
        began = self.registry.get_sample_value("process_start_time_seconds") or self._made_at
        seconds = time.time() - began
        self._start_duration.set(seconds)
        return seconds

    def watch_ready(self, ready: Callable[[], bool]) -> None:
        """Read readiness whenever Prometheus asks."""
        self._ready.set_function(ready)

    def observe_reload(self, *, succeeded: bool) -> None:
        """Count an attempt to replace the model."""
        (self._reloads_ok if succeeded else self._reloads_failed).inc()

    def observe_request(
        self, door: str, method: str, status: int, seconds: float, request_id: str
    ) -> None:
        """Count an answered request; its id stays as the exemplar of its duration's bucket."""
        method = method if method in METHODS else "other"
        self._requests(door, method, status).inc()
        exemplar = {"request_id": request_id[:EXEMPLAR_LENGTH]}
        self._request_duration(door).observe(seconds, exemplar)

    def observe_rejection(self, reason: str) -> None:
        """Count a request that was answered with an error's code."""
        self._rejected(reason).inc()

    def count_refused_connection(self, reason: str) -> None:
        """Count a connection that was closed on a client, for one of the reasons above."""
        self._refused_connections[reason].inc()

    def watch_memory(self, budget: int, held: Callable[[], int]) -> None:
        """Tell how many bytes requests and answers may hold, and hold."""
        self._memory_budget.set(budget)
        self._memory_held.set_function(held)

    def count_refused_images(self, count: int) -> None:
        """Count images that were not admitted."""
        self._images["refused"].inc(count)

    def observe_bytes(self, size: int) -> None:
        """Note the size of an encoded image."""
        self._image_bytes.observe(size)

    def observe_run(self, size: int, *, succeeded: bool) -> None:
        """Count a run of `size` images."""
        self._batch_size.observe(size)
        (self._runs_ok if succeeded else self._runs_failed).inc()

    def observe_picture(self, picture: Picture) -> None:
        """Note what a decoded image is like."""
        self._image_pixels.observe(picture.width * picture.height)
        self._image_formats.labels(picture.format).inc()
        if self._looks_at_pictures.take():
            self.drift.observe_picture(picture)

    def observe_image(self, future: Future[Embedding]) -> None:
        """Count an image that has been answered, and the time it spent in each stage."""
        outcome = _outcome(future)
        self._images[outcome].inc()
        if outcome == "ok":
            embedding = future.result()
            self._decode.observe(embedding.decode_s)
            self._queue.observe(embedding.queue_s)
            self._inference.observe(embedding.inference_s)
            if self._looks_at_vectors.take():
                self.drift.observe_vector(embedding.vector)


def _outcome(future: Future[Embedding]) -> str:
    try:
        error = future.exception()
    except CancelledError:
        return "cancelled"
    match error:
        case None:
            return "ok"
        case InvalidImage() | ImageTooLarge():
            return "invalid"
        case RequestTimeout():
            return "expired"
        case _:
            return "failed"
