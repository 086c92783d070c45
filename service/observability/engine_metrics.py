"""What Prometheus sees of the engine that serves: its queue, its streams, its model, its GPUs."""

from collections.abc import Callable
from functools import partial

from prometheus_client import CollectorRegistry, Gauge, Info

from service.observability import nvml
from service.types import EngineState, ModelInfo


class EngineMetrics:
    """The gauges of the engine; after a reload they are those of the new one."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        gauge = partial(Gauge, registry=registry)
        self._streams = gauge("swin_inference_streams", "Runs that can be under way at once")
        self._streams_busy = gauge(
            "swin_inference_streams_busy", "Streams with a batch in hand, which they decode or run"
        )
        self._longest_run = gauge(
            "swin_inference_longest_run_seconds", "How long the oldest run under way has been going"
        )
        self._decode_depth = gauge("swin_decode_depth", "Images that wait and are not decoded yet")
        self._queue_depth = gauge(
            "swin_queue_depth", "Images admitted that wait to be decoded or run"
        )
        self._queue_capacity = gauge(
            "swin_queue_capacity", "Images that may wait before requests get 429"
        )
        self._model_info = Info("swin_model", "The model that is served", registry=registry)
        self._load_duration = gauge(
            "swin_model_load_duration_seconds",
            "Time to read, build and warm up the model that is served",
        )
        self._gpu_watched = False

    def watch(
        self, model: ModelInfo, load_s: float, state: Callable[[], EngineState], *, on_gpu: bool
    ) -> None:
        """Describe an engine that begins to serve.

        Args:
            model: what it runs.
            load_s: seconds it took to load.
            state: asked whenever Prometheus asks.
            on_gpu: whether the GPUs are of interest.
        """
        self._queue_depth.set_function(lambda: state().queued)
        self._queue_capacity.set_function(lambda: state().capacity)
        self._decode_depth.set_function(lambda: state().undecoded)
        self._streams.set_function(lambda: state().streams)
        self._streams_busy.set_function(lambda: state().busy)
        self._longest_run.set_function(lambda: state().longest_run_s)
        self._load_duration.set(load_s)
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
        if on_gpu and not self._gpu_watched:
            self._gpu_watched = nvml.register(self._registry)
