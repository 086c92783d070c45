"""The real thing: `python -m service` in a process of its own, on a real socket."""

import base64
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request

import pytest
from PIL import Image

from tests.faults.stop import stop_under_load
from tests.support.images import encode, noise
from tests.support.process import ROOT, SOON, running


def get(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=SOON) as response:
            return response.status
    except urllib.error.HTTPError as error:
        return error.code


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serves_then_stops_with_status_0(artifact, number):
    with running(model=artifact) as (process, address):
        image = encode(noise(8, 8))
        request = urllib.request.Request(f"{address}/embed", image, {"Content-Type": "image/png"})
        with urllib.request.urlopen(request, timeout=SOON) as response:
            assert response.status == 200
        assert get(f"{address}/health/ready") == 200
        process.send_signal(number)
        assert process.wait(SOON) == 0


def all_in_flight(address: str, clients: int) -> bool:
    with urllib.request.urlopen(f"{address}/metrics", timeout=SOON) as response:
        return f"swin_requests_in_flight {clients + 1}.0" in response.read().decode()


def test_a_request_in_flight_survives_sigterm(artifact):
    image = encode(noise(2200, 2200))
    with running(model=artifact) as (process, address):
        answers = []

        def post() -> None:
            request = urllib.request.Request(
                f"{address}/embed", image, {"Content-Type": "image/png"}
            )
            with urllib.request.urlopen(request, timeout=SOON) as response:
                answers.append(response.status)

        clients = [threading.Thread(target=post) for _ in range(8)]
        for client in clients:
            client.start()
        while not all_in_flight(address, len(clients)):
            pass
        process.send_signal(signal.SIGTERM)
        for client in clients:
            client.join(SOON)
        assert process.wait(SOON) == 0
        assert answers == [200] * 8


@pytest.mark.parametrize("drain_seconds", [0, 0.5])
def test_a_stop_under_load_loses_nothing(artifact, drain_seconds):
    stopped = stop_under_load(16, model=artifact, drain_seconds=drain_seconds)
    assert stopped.lost == 0
    assert set(stopped.answers) == {200}
    assert stopped.refused == 16
    assert stopped.exit_status == 0


def test_draining_serves_for_a_while_and_sends_clients_elsewhere(artifact):
    with running(model=artifact, drain_seconds=60) as (process, address):
        process.send_signal(signal.SIGTERM)
        while get(f"{address}/health/ready") == 200:
            pass
        with urllib.request.urlopen(f"{address}/health/live", timeout=SOON) as response:
            assert response.headers["Connection"] == "close"
        request = urllib.request.Request(
            f"{address}/embed", encode(noise(8, 8)), {"Content-Type": "image/png"}
        )
        with urllib.request.urlopen(request, timeout=SOON) as response:
            assert response.status == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(SOON) == 128 + signal.SIGTERM


def failed(*arguments: str, **environment: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "service", "--port", "0", *arguments],
        env=os.environ | environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=SOON,
    )
    return done.returncode, done.stderr.strip().splitlines()[-1]


def test_no_model():
    code, line = failed()
    assert code == 1
    assert re.search(r"SWIN_MODEL is not set.*python -m model_export", line)


def test_a_model_that_is_not_there():
    code, line = failed(SWIN_MODEL="nowhere.onnx")
    assert code == 1
    assert "nowhere.onnx" in line


def test_a_device_that_is_not_there(artifact):
    code, line = failed("--model", str(artifact), "--device", "tensorrt")
    assert code == 1
    assert "SWIN_DEVICE=tensorrt" in line


def test_a_setting_out_of_range():
    code, line = failed(SWIN_MAX_QUEUE_SIZE="-1")
    assert code == 2
    assert line.startswith("error: SWIN_MAX_QUEUE_SIZE: ")


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_port_that_is_taken_is_one_line(artifact, workers):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        code, line = failed("--port", port, SWIN_WORKERS=workers, SWIN_MODEL=str(artifact))
    assert (code, line.startswith("error: SWIN_HOST, SWIN_PORT: ")) == (1, True), line
    assert "already in use" in line


def test_sighup_loads_the_model_again(artifact):
    with running(model=artifact) as (process, address):
        process.send_signal(signal.SIGHUP)
        wanted = 'swin_model_reloads_total{outcome="ok"} 1.0'
        while (
            wanted not in urllib.request.urlopen(f"{address}/metrics", timeout=SOON).read().decode()
        ):
            assert process.poll() is None
        assert get(f"{address}/health/ready") == 200


HANGS = """
import sys, time
from service import __main__
from service.engine import model
run = model.Model.run
def hang(self, pixels, *arguments, **options):
    if pixels.max() == 255:
        time.sleep(1000)
    return run(self, pixels, *arguments, **options)
model.Model.run = hang
sys.exit(__main__.main())
"""


def test_a_hung_engine_ends_the_process_with_status_1(artifact):
    limits = {"stall_exit_s": 0.5, "request_timeout_s": 1, "shutdown_grace_s": 1}
    with running(("-c", HANGS), model=artifact, **limits) as (process, address):
        white = Image.new("RGB", (9, 9), "white")
        request = urllib.request.Request(
            f"{address}/embed", encode(white), {"Content-Type": "image/png"}
        )
        with pytest.raises(urllib.error.HTTPError, match="504"):
            urllib.request.urlopen(request, timeout=SOON)
        assert get(f"{address}/health/live") == 200
        assert process.wait(SOON) == 1


def test_who_is_in_flight_when_the_time_to_stop_is_up_is_told_so(artifact):
    white = encode(Image.new("RGB", (9, 9), "white"))
    text = base64.b64encode(white).decode()
    tensor = {"name": "image", "datatype": "BYTES", "shape": [1], "data": [text]}
    model = "swin_small_example_patch4_window4_32"
    bodies = {
        "/embed": ("image/png", white),
        "/v1/embeddings": ("application/json", json.dumps({"input": text}).encode()),
        f"/v2/models/{model}/infer": (
            "application/json",
            json.dumps({"inputs": [tensor]}).encode(),
        ),
    }
    with running(("-c", HANGS), model=artifact, shutdown_grace_s=1) as (process, address):
        answers = {}

        def post(path: str) -> None:
            media_type, body = bodies[path]
            headers = {"Content-Type": media_type, "X-Request-Id": "mine"}
            request = urllib.request.Request(f"{address}{path}", body, headers)
            with pytest.raises(urllib.error.HTTPError) as caught:
                urllib.request.urlopen(request, timeout=SOON)
            with caught.value as answer:
                assert (answer.status, answer.headers["X-Request-Id"]) == (503, "mine")
                assert int(answer.headers["Retry-After"]) > 0
                answers[path] = json.load(answer)["error"]

        clients = [threading.Thread(target=post, args=(path,)) for path in bodies]
        for client in clients:
            client.start()
        while not all_in_flight(address, len(clients)):
            pass
        process.send_signal(signal.SIGTERM)
        for client in clients:
            client.join(SOON)
    embed, openai, infer = (answers[path] for path in bodies)
    assert embed["code"] == openai["code"] == "not_ready"
    assert "stops" in infer


def test_urls_without_their_extra_are_one_line_and_status_1(artifact, tmp_path):
    (tmp_path / "httpcore2.py").write_text("raise ImportError")
    done = subprocess.run(
        [sys.executable, "-m", "service", "--port=0", "--allow-image-urls", "--image-url-hosts=*"],
        env=os.environ | {"SWIN_MODEL": str(artifact), "PYTHONPATH": str(tmp_path)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=SOON,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "error: SWIN_ALLOW_IMAGE_URLS needs the urls extra" in done.stderr
