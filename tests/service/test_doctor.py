import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from service import doctor
from service.__main__ import main
from service.engine.gpu import devices
from service.errors import DeviceError
from service.settings import Settings


def test_a_service_that_would_start(artifact, capsys):
    assert main(["doctor", "--json", "--model", str(artifact), "--streams", "3"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["problems"] == []
    assert report["devices"]["cpu"] == "ok"
    assert "install the gpu extra" in report["devices"]["cuda"]
    assert report["layout"]["streams"] == 3
    assert 1 <= report["layout"]["cores_used"] <= report["layout"]["cores_by_affinity"]
    assert report["model"]["card"]["name"] == "swin_small_example_patch4_window4_32"
    assert report["timing"]["a_640_x_480_jpeg_s"] > 0
    assert report["versions"]["onnxruntime"]
    assert report["memory"]["usable"] >= report["memory"]["budget"] > 0


def test_it_is_a_page_for_people(artifact, capsys):
    assert main(["doctor", "--model", str(artifact)]) == 0
    page = capsys.readouterr().out
    assert "\n  cores_used: " in page
    assert page.endswith("problems: none\n") or "problems: none\n" in page


def test_a_hub_that_does_not_answer_is_no_problem(artifact, monkeypatch, capsys):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert main(["doctor", "--json", "--model", str(artifact)]) == 0
    report = json.loads(capsys.readouterr().out)
    assert "does not answer" in report["surroundings"]["hub"]
    assert report["problems"] == []


def test_the_clock_is_compared_with_the_hub_s(monkeypatch):
    class Hub(BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.send_response_only(403)
            self.send_header("Date", "Thu, 01 Jan 2026 00:00:00 GMT")
            self.end_headers()

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as hub:
        threading.Thread(target=hub.serve_forever, daemon=True).start()
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{hub.server_port}")
        found = doctor.surroundings()
        hub.shutdown()
    assert found["hub"].endswith(" answers")
    assert found["clock_ahead_of_hub_s"] > 86400


def test_the_cache_is_looked_at(tmp_path):
    empty = doctor.cache(str(tmp_path / "none" / "yet"))
    assert (empty["models"], empty["bytes"], empty["writable"]) == (0, 0, True)
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "a.fp32.onnx").write_bytes(bytes(1000))
    found = doctor.cache(str(tmp_path))
    assert (found["folder"], found["models"], found["bytes"]) == (str(tmp_path), 1, 1000)


def test_secrets_are_masked():
    settings = Settings(api_keys="hunter2,sesame")
    shown = doctor.masked(settings)
    assert shown["SWIN_API_KEYS"] == "********,********"
    assert "hunter2" not in str(shown)
    assert shown["SWIN_PORT"] == "8000"


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        (["--model", "nowhere.onnx"], "nowhere.onnx"),
        (["--device", "tensorrt"], "SWIN_DEVICE=tensorrt"),
    ],
)
def test_what_keeps_the_service_from_starting_is_named(flags, problem, capsys):
    assert main(["doctor", *flags]) == 1
    assert problem in capsys.readouterr().out


def test_a_bad_setting_is_named(monkeypatch, capsys):
    monkeypatch.setenv("SWIN_MAX_QUEUE_SIZE", "-1")
    assert main(["doctor"]) == 1
    assert "SWIN_MAX_QUEUE_SIZE: " in capsys.readouterr().out


def test_gpus_are_named(monkeypatch):
    monkeypatch.setattr(devices, "gpus", lambda: ["NVIDIA A", "NVIDIA B"])
    assert doctor.gpus() == {"cuda:0": "NVIDIA A", "cuda:1": "NVIDIA B"}


def test_without_a_driver_there_are_no_gpus(monkeypatch):
    def none():
        raise DeviceError

    monkeypatch.setattr(devices, "gpus", none)
    assert doctor.gpus() == {}
