"""OpenTelemetry spans, where `OTEL_EXPORTER_OTLP_ENDPOINT` says where to send them.

FastAPI makes the span of each request and takes up the caller's trace; this adds one a stage.
The exporter comes with the `tracing` extra. Without an endpoint no span is made. With
OTEL_METRICS_EXPORTER=otlp metrics go there too, though Prometheus has them.
"""

import contextlib
import os
import time
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from typing import Any

from fastapi.telemetry import TelemetryConfig
from opentelemetry import trace
from opentelemetry.trace import Link, NonRecordingSpan, Span

from model_export import __version__

STAGES = ("decode", "queue", "inference")

_tracer = trace.get_tracer("swin-embed")


def _is_probe(scope: MutableMapping[str, Any]) -> bool:
    return scope["path"].endswith("/metrics") or "/health/" in scope["path"]


def telemetry() -> TelemetryConfig:
    """For `FastAPI(telemetry=)`: traces where there is an endpoint, metrics only if asked for."""
    os.environ.setdefault("OTEL_SERVICE_NAME", "swin-embed")
    given = os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    if "service.version=" not in given:
        attributes = [given] if given else []
        attributes.append(f"service.version={__version__}")
        os.environ["OTEL_RESOURCE_ATTRIBUTES"] = ",".join(attributes)
    return {
        "auto_configure": True,
        "metrics": metrics_wanted(),
        "logs": False,
        "operation_spans": False,
        "exclude": _is_probe,
    }


def metrics_wanted() -> bool:
    """Whether metrics go over OTLP too."""
    return os.environ.get("OTEL_METRICS_EXPORTER") == "otlp"


def trace_id() -> str | None:
    """The present trace's id in hexadecimal, if there is a trace."""
    context = trace.get_current_span().get_span_context()
    return trace.format_trace_id(context.trace_id) if context.is_valid else None


def describe(attributes: Mapping[str, str | int]) -> None:
    """Add attributes to the present request's span."""
    trace.get_current_span().set_attributes(attributes)


@contextlib.contextmanager
def run(requests: Sequence[Span]) -> Iterator[None]:
    """A span of a run of the model, linked to the spans of the requests whose images are in it.

    It belongs to the trace of the first request that is traced. Without any there is no span.
    """
    contexts = [span.get_span_context() for span in requests]
    traced = list({one.span_id: one for one in contexts if one.trace_flags.sampled}.values())
    if not traced:
        yield
        return
    parent = trace.set_span_in_context(NonRecordingSpan(traced[0]))
    with _tracer.start_as_current_span(
        "run",
        parent,
        links=[Link(context) for context in traced],
        attributes={"swin.batch_size": len(requests)},
    ):
        yield


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
