import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from service.engine import embedder, lifecycle
from service.engine.model import Model
from tests.support.eventually import eventually
from tests.support.images import encode, jpeg, noise


def test_live_and_ready(client):
    assert client.get("/health/live").status_code == 200
    assert client.get("/health/ready").status_code == 200


def test_starting_is_alive_and_not_ready(serve):
    client = serve()
    state = client.app.state.service.lifecycle
    state.phase, loaded = lifecycle.Phase.STARTING, state._embedder
    state._embedder = None
    assert client.get("/health/live").status_code == 200
    answer = client.get("/health/ready")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "not_ready")
    assert answer.headers["Retry-After"]
    assert client.post("/embed", content=encode(noise(9, 9))).status_code == 503
    state._embedder = loaded


def test_draining_is_not_ready_but_finishes(client):
    client.app.state.service.lifecycle.drain()
    assert client.get("/health/ready").status_code == 503
    assert client.post("/embed", content=encode(noise(9, 9))).status_code == 200


@pytest.fixture
def broken(client, monkeypatch):
    """A client whose model fails for as long as `broken.fails` is true."""
    run = Model.run
    client.fails = True

    def flaky(*arguments, **gear):
        if client.fails:
            raise RuntimeError("out of memory")
        return run(*arguments, **gear)

    monkeypatch.setattr(Model, "run", flaky)
    return client


def test_a_failed_run_is_not_ready_until_a_real_one_succeeds(broken):
    answer = broken.post("/embed", content=encode(noise(9, 9)))
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "not_ready")
    assert broken.get("/health/ready").status_code == 503
    assert samples(broken)['swin_inference_runs_total{outcome="failed"}'] >= 2
    broken.fails = False
    assert broken.get("/health/ready").status_code == 200


def test_a_stuck_run_is_not_ready(client, monkeypatch):
    monkeypatch.setattr(embedder, "STALLED_S", 0.0)
    monkeypatch.setattr(embedder, "STALLED_RUNS", 0)
    running = client.app.state.service.lifecycle.embedder
    monkeypatch.setattr(running.batcher, "longest_run_s", lambda: 0.1)
    assert client.get("/health/ready").status_code == 503


def samples(client) -> dict[str, float]:
    lines = client.get("/metrics").text.splitlines()
    return {
        name: float(value)
        for name, value in (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    }


def test_metrics_count_what_happened(client):
    for _ in range(3):
        client.post("/embed", content=jpeg("coffee"))
    client.post("/embed", files=[("files", jpeg("coffee")), ("files", jpeg("china"))])
    client.post("/embed", content=b"text")
    client.get("/nothing")
    seen = samples(client)
    assert seen['swin_requests_total{door="embed",method="POST",status="200"}'] == 4
    assert seen['swin_requests_total{door="embed",method="POST",status="422"}'] == 1
    assert seen['swin_requests_total{door="none",method="GET",status="404"}'] == 1
    assert seen['swin_request_duration_seconds_count{door="embed"}'] == 5
    assert seen['swin_images_total{outcome="ok"}'] == 5
    assert seen['swin_images_total{outcome="invalid"}'] == 1
    assert seen['swin_rejected_total{reason="invalid_image"}'] == 1
    for stage, count in {"decode": 5, "queue": 5, "inference": 5, "encode": 4}.items():
        assert seen[f'swin_stage_duration_seconds_count{{stage="{stage}"}}'] == count
        assert seen[f'swin_stage_duration_seconds_sum{{stage="{stage}"}}'] > 0
    assert seen["swin_batch_size_sum"] == 5
    assert seen["swin_image_bytes_count"] == 6
    assert seen["swin_image_pixels_count"] == 5
    assert seen['swin_image_formats_total{format="jpeg"}'] == 5
    assert seen["swin_image_duplicates_total"] == 3
    assert seen["swin_image_sharpness_count"] == 5
    assert seen["swin_embedding_norm_count"] == 5
    assert seen['swin_embedding_cosine_bucket{le="+Inf"}'] == 4
    assert seen['swin_inference_runs_total{outcome="ok"}'] == 5
    assert seen["swin_inference_streams"] >= 1
    assert seen["swin_inference_streams_busy"] == 0
    assert seen["swin_inference_longest_run_seconds"] == 0
    assert seen["swin_decode_depth"] == 0
    assert 0 < seen["swin_model_load_duration_seconds"] < seen["swin_start_duration_seconds"]
    assert seen["swin_queue_depth"] == 0
    assert seen["swin_queue_capacity"] == 512
    assert seen["swin_requests_in_flight"] == 1
    assert seen["swin_ready"] == 1
    (info,) = [name for name in seen if name.startswith("swin_model_info")]
    assert 'pretrained="false"' in info
    assert 'provider="CPUExecutionProvider"' in info


def test_images_that_wait_are_the_queues_depth_and_refused_ones_are_counted(serve, monkeypatch):
    client = serve(streams=1, max_queue_size=3, max_images_per_request=3)
    gate, run = threading.Event(), Model.run

    def held(*arguments, **gear):
        gate.wait()
        return run(*arguments, **gear)

    monkeypatch.setattr(Model, "run", held)
    image = encode(noise(9, 9))
    with ThreadPoolExecutor() as callers:
        answer = callers.submit(client.post, "/embed", files=[("files", image)] * 3)
        try:
            eventually(lambda: samples(client)["swin_queue_depth"] == 2)
            refused = client.post("/embed", files=[("files", image)] * 2)
        finally:
            gate.set()
        assert answer.result().status_code == 200
    assert refused.status_code == 429
    seen = samples(client)
    assert seen["swin_queue_depth"] == 0
    assert seen['swin_images_total{outcome="refused"}'] == 2
    assert seen['swin_images_total{outcome="ok"}'] == 3


def test_unheard_of_methods_share_a_label(client):
    client.request("BREW", "/embed")
    assert samples(client)['swin_requests_total{door="embed",method="other",status="405"}'] == 1


def test_openmetrics_on_request(client):
    client.post("/embed", files=[("files", jpeg("coffee")), ("files", jpeg("china"))])
    answer = client.get("/metrics", headers={"Accept": "application/openmetrics-text"})
    assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
    families = {family.name: family for family in text_string_to_metric_families(answer.text)}
    warmth = {sample.name for sample in families["swin_image_warmth"].samples}
    assert warmth == {"swin_image_warmth_bucket"}


def test_weaviate_s_probes_have_no_body(client):
    for name in ("live", "ready"):
        answer = client.get(f"/.well-known/{name}")
        assert (answer.status_code, answer.content) == (204, b"")
    client.app.state.service.lifecycle.drain()
    assert client.get("/.well-known/live").status_code == 204
    assert client.get("/.well-known/ready").status_code == 503
