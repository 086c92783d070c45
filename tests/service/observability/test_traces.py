"""Spans arrive at a collector: a real service, and a server that speaks OTLP over HTTP."""

import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.support.images import encode, noise
from tests.support.process import SOON, running

otlp = pytest.importorskip("opentelemetry.proto.collector.trace.v1.trace_service_pb2")

TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture
def collector():
    """An address to send spans to, and the list they arrive in."""
    spans = []
    arrived = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path == "/v1/traces":
                sent = otlp.ExportTraceServiceRequest.FromString(body)
                spans.extend(
                    span
                    for resource in sent.resource_spans
                    for scope in resource.scope_spans
                    for span in scope.spans
                )
                arrived.set()
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", spans, arrived
    server.shutdown()
    server.server_close()


def test_a_request_and_its_stages_are_spans_of_the_callers_trace(artifact, collector, monkeypatch):
    address, spans, arrived = collector
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", address)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
    with running(model=artifact) as (_, service):
        urllib.request.urlopen(f"{service}/health/ready", timeout=SOON).close()
        headers = {
            "Content-Type": "image/png",
            "traceparent": f"00-{TRACE}-b7ad6b7169203331-01",
        }
        request = urllib.request.Request(f"{service}/embed", encode(noise(9, 9)), headers)
        urllib.request.urlopen(request, timeout=SOON).close()
        assert arrived.wait(SOON)
    (root,) = [span for span in spans if span.name == "POST /embed"]
    stages = {span.name: span for span in spans if span is not root}
    assert set(stages) == {"decode", "queue", "inference"}
    for span in spans:
        assert span.trace_id.hex() == TRACE
        assert root.start_time_unix_nano <= span.start_time_unix_nano
        assert span.end_time_unix_nano <= root.end_time_unix_nano
    assert {span.parent_span_id for span in stages.values()} == {root.span_id}
    assert stages["decode"].end_time_unix_nano <= stages["queue"].start_time_unix_nano
