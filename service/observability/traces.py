"""OpenTelemetry spans, where `OTEL_EXPORTER_OTLP_ENDPOINT` says where to send them.

FastAPI makes the span of each request and takes up the caller's trace; this adds one a stage.
The exporter comes with the `tracing` extra. Without an endpoint no span is made.
"""

import time
from collections.abc import Mapping, MutableMapping
from typing import Any

from fastapi.telemetry import TelemetryConfig
from opentelemetry import trace

STAGES = ("decode", "queue", "inference")

_tracer = trace.get_tracer("swin-embed")


def _is_probe(scope: MutableMapping[str, Any]) -> bool:
    return scope["path"] == "/metrics" or "/health/" in scope["path"]


CONFIG: TelemetryConfig = {
    "auto_configure": True,
    "metrics": False,  # Prometheus has them
    "logs": False,
    "operation_spans": False,
    "exclude": _is_probe,
}
"""For `FastAPI(telemetry=)`."""


def record(stages: Mapping[str, float]) -> None:
    """Give the present request a span for each stage, laid end to end up to now.

    Args:
        stages: seconds in each, of the image that was longest in it.
    """
    if not trace.get_current_span().is_recording():
        return
    end = time.time_ns()
    for stage in reversed(STAGES):
        start = end - round(stages[stage] * 1e9)
        _tracer.start_span(stage, start_time=start).end(end)
        end = start
