"""The counters and gauges of a Prometheus registry over OTLP too, where an operator asks for it."""

from collections.abc import Iterable
from functools import partial

from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, Observation
from prometheus_client import CollectorRegistry


def export(registry: CollectorRegistry) -> None:
    """Have each counter and gauge read whenever OpenTelemetry exports.

    Histograms are left to Prometheus: OpenTelemetry reads none that others keep. FastAPI has one
    of requests.
    """
    meter = metrics.get_meter("swin-embed")
    instruments = {
        "counter": ("_total", meter.create_observable_counter),
        "gauge": ("", meter.create_observable_gauge),
    }
    for family in registry.collect():
        if family.type in instruments:
            suffix, create = instruments[family.type]
            read = partial(_read, registry, family.name + suffix)
            create(family.name, [read], description=family.documentation)


def _read(registry: CollectorRegistry, sample: str, _: CallbackOptions) -> Iterable[Observation]:
    for family in registry.restricted_registry([sample]).collect():
        for one in family.samples:
            yield Observation(one.value, one.labels)
