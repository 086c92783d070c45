"""The official clients against the real server: the same photo, the same bits, whoever asks."""

import json
import shutil
import socket
import subprocess
import urllib.request
from pathlib import Path

import numpy as np
import pytest

from tests.service.test_main import ROOT, SOON, running
from tests.support.images import jpeg

CLIENTS = ROOT / ".venv" / "clients"
SCRIPTS = ROOT / "tests" / "clients"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def printed(*command: str | Path) -> bytes:
    done = subprocess.run(command, capture_output=True, timeout=2 * SOON)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


@pytest.fixture(scope="module")
def service(artifact):
    port = free_port()
    with running(model=artifact, grpc_port=port) as (_, address):
        yield address, f"127.0.0.1:{port}"


@pytest.fixture(scope="module")
def photo(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("photos") / "photo.jpg"
    path.write_bytes(jpeg("chelsea"))
    return path


@pytest.fixture
def expected(service, photo) -> str:
    """The vector's bits, in hex."""
    headers = {"Content-Type": "image/jpeg", "Accept": "application/octet-stream"}
    request = urllib.request.Request(f"{service[0]}/embed", photo.read_bytes(), headers)
    with urllib.request.urlopen(request, timeout=SOON) as answer:
        return answer.read().hex()


@pytest.mark.skipif(not shutil.which("curl"), reason="needs curl")
def test_curl_raw_and_multipart(service, photo, expected):
    address, _ = service
    jpeg_type = ("-H", "Content-Type: image/jpeg")
    raw = printed("curl", "-s", "--data-binary", f"@{photo}", *jpeg_type, f"{address}/embed")
    form = printed("curl", "-s", "-F", f"files=@{photo}", f"{address}/embed")
    for body in (raw, form):
        (vector,) = json.loads(body)["embeddings"]
        assert np.array(vector, "<f4").tobytes().hex() == expected


@pytest.mark.skipif(not CLIENTS.exists(), reason="needs make setup-clients")
def test_openai_and_tritonclient_for_python(service, photo, expected):
    python = CLIENTS / "bin" / "python"
    vectors = json.loads(printed(python, SCRIPTS / "python_clients.py", *service, photo))
    assert len(vectors) == 9
    assert set(vectors.values()) == {expected}


@pytest.mark.skipif(
    not (shutil.which("node") and (CLIENTS / "node" / "node_modules").exists()),
    reason="needs Node and make setup-clients",
)
def test_openai_for_node(service, photo, expected):
    script = shutil.copy(SCRIPTS / "node_client.mjs", CLIENTS / "node")
    vectors = json.loads(printed("node", script, service[0], photo))
    assert len(vectors) == 2
    assert set(vectors.values()) == {expected}
