"""The hub, stubbed: the HTTP API that huggingface-hub speaks, on loopback through HF_ENDPOINT."""

import hashlib
import json
import os
import re
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import onnx
import pytest
from safetensors.numpy import save

from model_export import hub
from model_export.catalog import NANO
from model_export.checkpoints.seeded import seeded
from model_export.errors import CheckpointError
from model_export.model_card import METADATA_KEY, ModelCard
from tests.support import layouts

pytestmark = pytest.mark.slow

COMMIT = "0123456789abcdef0123456789abcdef01234567"
REPOSITORY = "someone/swin"
WEIGHTS = save(layouts.timm(seeded(NANO.architecture).tensors))
CONFIG = json.dumps({"architecture": NANO.architecture.name}).encode()


class Hub(ThreadingHTTPServer):
    """Answers /ORG/REPOSITORY/resolve/REVISION/FILE."""

    def __init__(self, files):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = files
        self.asked = []
        self.cut_after = None

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_arguments):
        pass

    def do_HEAD(self):
        self.answer(with_body=False)

    def do_GET(self):
        self.answer(with_body=True)

    def answer(self, with_body):
        path = self.path.strip("/").split("/")
        self.server.asked.append((self.command, self.path, dict(self.headers)))
        repository, name = "/".join(path[:2]), path[-1]
        if repository != REPOSITORY:
            return self.fail("RepoNotFound")
        if path[3] not in ("main", COMMIT):
            return self.fail("RevisionNotFound")
        if name not in self.server.files:
            return self.fail("EntryNotFound")
        data = self.server.files[name]
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").split("-")[0])
        self.send_response(206 if start else 200)
        self.send_header("ETag", f'"{hashlib.sha1(data, usedforsecurity=False).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(data) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.end_headers()
        if with_body:
            end = self.server.cut_after if self.server.cut_after and not start else len(data)
            self.wfile.write(data[start:end])
        return None

    def fail(self, code):
        self.send_response(404)
        self.send_header("X-Error-Code", code)
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Content-Length", "0")
        self.end_headers()


@pytest.fixture
def server():
    server = Hub({"model.safetensors": WEIGHTS, "config.json": CONFIG})
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def run(server, tmp_path):
    """Run the command line with this hub, as a process: the client reads its settings at import."""

    def run_export(*arguments, **settings):
        environment = os.environ | {
            "HF_ENDPOINT": server.endpoint,
            "HF_HOME": str(tmp_path / "cache"),
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
        }
        command = [sys.executable, "-m", "model_export", *arguments]
        command += ["--output", str(tmp_path / "model.onnx")]
        return subprocess.run(
            command, env=environment | settings, capture_output=True, text=True, check=False
        )

    return run_export


def card(tmp_path):
    (entry,) = onnx.load(tmp_path / "model.onnx").metadata_props
    assert entry.key == METADATA_KEY
    return ModelCard.model_validate_json(entry.value)


def test_a_repository_is_fetched_and_recorded_and_then_needs_no_hub(run, server, tmp_path):
    done = run(f"hf://{REPOSITORY}", HF_TOKEN="hf_secret")  # noqa: S106 - a stub's
    assert done.returncode == 0, done.stderr
    weights = card(tmp_path).weights
    assert weights.source == f"hf://{REPOSITORY}/model.safetensors"
    assert weights.revision == COMMIT
    assert weights.sha256 == hashlib.sha256(WEIGHTS).hexdigest()
    assert NANO.architecture.name in done.stdout
    assert all(h.get("authorization") == "Bearer hf_secret" for _, _, h in lowered(server.asked))
    assert (tmp_path / "cache" / "hub" / "models--someone--swin").is_dir()

    server.asked.clear()
    offline = run(f"hf://{REPOSITORY}", HF_HUB_OFFLINE="1")
    assert offline.returncode == 0, offline.stderr
    assert server.asked == []


def lowered(asked):
    return [(m, p, {k.lower(): v for k, v in headers.items()}) for m, p, headers in asked]


def test_a_download_that_was_cut_goes_on_where_it_ended(run, server, tmp_path):
    # The client writes 10 MiB at a time; what it has not written it asks for again.
    extra = {"decode_head.weight": np.zeros((1 << 20, 3), np.float32)}
    whole = save(layouts.timm(seeded(NANO.architecture).tensors) | extra)
    server.files["model.safetensors"] = whole
    server.cut_after = 11 << 20
    done = run(f"hf://{REPOSITORY}@{COMMIT}")
    assert done.returncode == 0, done.stderr
    assert card(tmp_path).weights.sha256 == hashlib.sha256(whole).hexdigest()
    ranges = [headers["range"] for _, _, headers in lowered(server.asked) if "range" in headers]
    assert ranges == [f"bytes={10 << 20}-"]


@pytest.mark.parametrize(
    ("address", "settings", "reason"),
    [
        ("hf://someone/else", {}, "has no someone/else"),
        (f"hf://{REPOSITORY}@nowhere", {}, "has no someone/swin at revision nowhere"),
        ("swin_tiny_patch4_window7_224", {"HF_HUB_OFFLINE": "1"}, "HF_HUB_OFFLINE is set"),
    ],
)
def test_what_cannot_be_fetched_is_one_line_with_ways_on(run, tmp_path, address, settings, reason):
    done = run(address, **settings)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert reason in done.stderr
    assert "--weights FILE" in done.stderr
    assert "--weights random" in done.stderr
    assert not (tmp_path / "model.onnx").exists()


def test_a_hub_that_cannot_be_reached_is_one_line_with_ways_on(run):
    with socket.socket() as closed:  # bound and not listening: connections are refused
        closed.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{closed.getsockname()[1]}"
        done = run(f"hf://{REPOSITORY}", HF_ENDPOINT=address)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert re.search(r"cannot be fetched from .*\(ConnectError\).*--weights FILE", done.stderr)


def test_a_hub_that_does_not_answer_is_not_waited_for(monkeypatch):
    never = threading.Event()
    monkeypatch.setattr(hub, "PATIENCE_S", 0.01)
    monkeypatch.setattr(hub, "get_hf_file_metadata", lambda *_a, **_n: never.wait())
    with pytest.raises(CheckpointError, match=r"no answer within 0\.01 s.*--weights FILE.*random"):
        hub.fetch("nobody/nothing", None)
    never.set()


def test_a_repository_without_weights_is_refused(run, server):
    del server.files["model.safetensors"]
    assert "has none of model.safetensors" in run(f"hf://{REPOSITORY}").stderr
