"""Spans arrive at a collector: a real service, and a server that speaks OTLP over HTTP."""

import contextlib
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest

from model_export import __version__
from tests.support.eventually import eventually
from tests.support.images import encode, noise
from tests.support.process import ROOT, SOON, running

otlp = pytest.importorskip("opentelemetry.proto.collector.trace.v1.trace_service_pb2")

otlp_metrics = pytest.importorskip("opentelemetry.proto.collector.metrics.v1.metrics_service_pb2")

TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture
def collector():
    """A server that speaks OTLP: its address, and what arrives there."""
    spans, resources, points = [], [], {}
    arrived = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path == "/v1/traces":
                sent = otlp.ExportTraceServiceRequest.FromString(body)
                resources.extend(one.resource for one in sent.resource_spans)
                spans.extend(
                    span
                    for resource in sent.resource_spans
                    for scope in resource.scope_spans
                    for span in scope.spans
                )
                arrived.set()
            if self.path == "/v1/metrics":
                sent = otlp_metrics.ExportMetricsServiceRequest.FromString(body)
                for resource in sent.resource_metrics:
                    for scope in resource.scope_metrics:
                        for metric in scope.metrics:
                            points[metric.name] = metric
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    yield SimpleNamespace(
        address=address,
        spans=spans,
        resources=resources,
        points=points,
        arrived=arrived,
    )
    server.shutdown()
    server.server_close()


@pytest.fixture
def to_collector(collector, monkeypatch):
    """An environment in which a service sends to the collector."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.address)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
    monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "200")
    return monkeypatch


@pytest.fixture
def traced(artifact, to_collector):
    """A service that sends spans and metrics to the collector."""
    to_collector.setenv("OTEL_METRICS_EXPORTER", "otlp")
    with running(model=artifact) as (_, service):
        yield service


def ask(service: str, image: bytes) -> None:
    headers = {
        "Content-Type": "image/png",
        "traceparent": f"00-{TRACE}-b7ad6b7169203331-01",
        "X-Request-Id": "mine",
    }
    request = urllib.request.Request(f"{service}/embed", image, headers)
    with contextlib.suppress(urllib.error.HTTPError):
        urllib.request.urlopen(request, timeout=SOON).close()


def attributes(of) -> dict:
    return {one.key: one.value.string_value or one.value.int_value for one in of.attributes}


def test_a_request_its_stages_and_its_run_are_spans_of_the_callers_trace(traced, collector):
    urllib.request.urlopen(f"{traced}/health/ready", timeout=SOON).close()
    ask(traced, encode(noise(9, 9)))
    assert collector.arrived.wait(SOON)
    eventually(lambda: any(span.name == "POST /embed" for span in collector.spans))
    spans = {span.name: span for span in collector.spans}
    root, run = spans.pop("POST /embed"), spans.pop("run")
    assert set(spans) == {"decode", "queue", "inference"}
    for span in (run, *spans.values()):
        assert span.trace_id.hex() == TRACE
        assert span.parent_span_id == root.span_id
        assert root.start_time_unix_nano <= span.start_time_unix_nano
        assert span.end_time_unix_nano <= root.end_time_unix_nano
    assert root.parent_span_id.hex() == "b7ad6b7169203331"
    assert [link.span_id for link in run.links] == [root.span_id]
    assert spans["decode"].end_time_unix_nano <= spans["queue"].start_time_unix_nano


def test_workers_send_the_same_spans(artifact, to_collector, collector):
    with running(model=artifact, workers=2) as (_, service):
        ask(service, encode(noise(9, 9)))
        eventually(lambda: len({span.name for span in collector.spans}) == 5)
    spans = {span.name: span for span in collector.spans}
    assert set(spans) == {"POST /embed", "run", "decode", "queue", "inference"}
    assert [link.span_id for link in spans["run"].links] == [spans["POST /embed"].span_id]
    assert {span.trace_id.hex() for span in spans.values()} == {TRACE}


def test_workers_refuse_to_send_metrics_that_would_contradict_each_other(artifact, to_collector):
    to_collector.setenv("OTEL_METRICS_EXPORTER", "otlp")
    command = [sys.executable, "-m", "service", "--model", str(artifact), "--workers", "2"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=SOON)
    assert done.returncode == 1
    assert "error: OTEL_METRICS_EXPORTER=otlp needs SWIN_WORKERS=1" in done.stderr


def test_spans_say_whose_they_are_and_what_became_of_the_request(traced, collector):
    ask(traced, encode(noise(9, 9)))
    ask(traced, b"no image")
    eventually(lambda: sum(span.name == "POST /embed" for span in collector.spans) == 2)
    good, bad = (attributes(span) for span in collector.spans if span.name == "POST /embed")
    assert good["swin.request_id"] == bad["swin.request_id"] == "mine"
    assert good["swin.model"] == "swin_small_example_patch4_window4_32"
    assert (bad["swin.error_code"], "swin.error_code" in good) == ("invalid_image", False)
    resource = attributes(collector.resources[0])
    assert resource["service.name"] == "swin-embed"
    assert resource["service.version"] == __version__


def test_metrics_go_over_otlp_where_asked_for(traced, collector):
    ask(traced, encode(noise(9, 9)))

    def embedded() -> bool:
        points = collector.points.get("swin_images")
        return bool(points) and any(
            attributes(point).get("outcome") == "ok" and point.as_double == 1
            for point in points.sum.data_points
        )

    eventually(embedded)
    assert {"swin_queue_depth", "swin_ready", "http.server.request.duration"} <= set(
        collector.points
    )
