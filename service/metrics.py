"""What Prometheus sees. Names and labels are the contract of dashboards and alerts."""

from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from typing import TYPE_CHECKING

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)

from service.errors import ImageTooLarge, InvalidImage, RequestTimeout

if TYPE_CHECKING:
    from service.batcher import Embedding
    from service.model import Model

# From a nano model on a GPU (about 1 ms) to a large one on a busy CPU, five steps a decade.
SECONDS = [round(10 ** (step / 5), 4) for step in range(-15, 8)]
BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}


# The moment a series was created would be a second series for each, which nobody reads.
disable_created_metrics()  # type: ignore[no-untyped-call]


class Metrics:
    """The metrics of one service, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        self._requests = Counter(
            "swin_requests",
            "Requests answered, by door, method and HTTP status",
            ["door", "method", "status"],
            registry=registry,
        )
        self._request_duration = Histogram(
            "swin_request_duration_seconds",
            "Time from the first byte of a request to the last of its answer",
            ["door"],
            buckets=SECONDS,
            registry=registry,
        )
        self.in_flight = Gauge(
            "swin_requests_in_flight", "Requests being answered now", registry=registry
        )
        images = Counter(
            "swin_images",
            "Images that came in, by what became of them",
            ["outcome"],
            registry=registry,
        )
        outcomes = ("ok", "invalid", "refused", "expired", "cancelled", "failed")
        self._images = {outcome: images.labels(outcome) for outcome in outcomes}
        stages = Histogram(
            "swin_stage_duration_seconds",
            "Time an image spends in each stage; encode is per response",
            ["stage"],
            buckets=SECONDS,
            registry=registry,
        )
        self._decode, self._queue, self._inference, self.encode = (
            stages.labels(stage) for stage in ("decode", "queue", "inference", "encode")
        )
        self.batch_size = Histogram(
            "swin_batch_size", "Images in a run", buckets=BATCH_SIZES, registry=registry
        )
        self._queue_depth = Gauge(
            "swin_queue_depth",
            "Images admitted that wait to be decoded or run",
            registry=registry,
        )
        self._queue_capacity = Gauge(
            "swin_queue_capacity", "Images that may wait before requests get 429", registry=registry
        )
        self._rejected = Counter(
            "swin_rejected",
            "Requests turned away, by the code of the error",
            ["reason"],
            registry=registry,
        )
        self.image_bytes = Histogram(
            "swin_image_bytes",
            "Size of an encoded image",
            buckets=[4**power for power in range(5, 14)],  # 1 KiB to 64 MiB
            registry=registry,
        )
        self.image_pixels = Histogram(
            "swin_image_pixels",
            "Width times height of a decoded image",
            buckets=[4**power for power in range(5, 14)],  # 32 x 32 to 8192 x 8192
            registry=registry,
        )
        self._model_info = Info("swin_model", "The model that is served", registry=registry)
        self._ready = Gauge("swin_ready", "1 when the service takes requests", registry=registry)

    def watch_queue(self, depth: Callable[[], int], capacity: int) -> None:
        """Read the queue's depth whenever Prometheus asks."""
        self._queue_depth.set_function(depth)
        self._queue_capacity.set(capacity)

    def watch_ready(self, ready: Callable[[], bool]) -> None:
        """Read readiness whenever Prometheus asks."""
        self._ready.set_function(ready)

    def describe_model(self, model: "Model") -> None:
        """Set `swin_model_info`."""
        card = model.card
        self._model_info.info(
            {
                "model": card.name,
                "architecture": card.architecture,
                "precision": card.precision,
                "provider": model.provider,
                "pretrained": str(card.pretrained).lower(),
                "digest": model.digest,
            }
        )

    def observe_request(self, door: str, method: str, status: int, seconds: float) -> None:
        """Count an answered request."""
        method = method if method in METHODS else "other"
        self._requests.labels(door, method, status).inc()
        self._request_duration.labels(door).observe(seconds)

    def observe_rejection(self, reason: str) -> None:
        """Count a request that was answered with an error's code."""
        self._rejected.labels(reason).inc()

    def count_refused_images(self, count: int) -> None:
        """Count images that were not admitted."""
        self._images["refused"].inc(count)

    def observe_image(self, future: "Future[Embedding]") -> None:
        """Count an image that has been answered, and the time it spent in each stage."""
        outcome = _outcome(future)
        self._images[outcome].inc()
        if outcome == "ok":
            embedding = future.result()
            self._decode.observe(embedding.decode_s)
            self._queue.observe(embedding.queue_s)
            self._inference.observe(embedding.inference_s)


def _outcome(future: "Future[Embedding]") -> str:
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
