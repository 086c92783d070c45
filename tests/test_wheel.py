"""What is published: a wheel in a clean environment, outside the repository."""

import json
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.support.images import encode, photos
from tests.support.process import ROOT

pytestmark = pytest.mark.slow

UV = Path(sys.executable).parent / "uv"

SNIPPET = """
import sys
from swin_embed import Embedder
with Embedder() as embedder:
    print(embedder.embed(sys.argv[1:]).shape)
"""


def run(*command, **options):
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, timeout=300, **options
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def dist(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    run(UV, "build", "--quiet", "--out-dir", folder, ROOT)
    (wheel,), (source,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return wheel, source


def test_what_is_in_them(dist):
    wheel, source = dist
    assert wheel.stat().st_size < 8_000_000
    inside = set(zipfile.ZipFile(wheel).namelist())
    weights = "model_export/weights/swin_nano_patch4_window7_224.safetensors"
    for name in (weights, "service/playground/index.html", "swin_embed/py.typed"):
        assert name in inside
    with zipfile.ZipFile(wheel) as archive:
        (place,) = (name for name in inside if name.endswith("dist-info/METADATA"))
        described = archive.read(place).decode().partition("\n\n")[2]
    assert "swin-embed serve" in described
    links = re.findall(r"\]\(([^)]*)\)", described)
    assert links
    assert all(link.startswith("https://") for link in links)
    with tarfile.open(source) as archive:
        packed = {name.partition("/")[2] for name in archive.getnames()}
    assert inside - {name for name in inside if "dist-info" in name} <= packed
    assert {"Makefile", "README.md", "requirements/serve.txt", "tests/test_wheel.py"} <= packed
    run(sys.executable, "-m", "twine", "check", "--strict", wheel, source)


def test_it_serves_embeds_and_exports_by_itself(dist, tmp_path):
    (wheel, _), python = dist, tmp_path / "venv/bin/python"
    run(UV, "venv", "--quiet", "--python", sys.executable, tmp_path / "venv")
    run(UV, "pip", "install", "--quiet", "--python", python, f"{wheel}[cpu,batch]")
    (tmp_path / "photos").mkdir()
    photo = tmp_path / "photos/chelsea.jpg"
    photo.write_bytes(encode(photos()["chelsea"], "JPEG"))
    kept = {"HOME": str(tmp_path), "SWIN_HOME": str(tmp_path / "kept"), "PATH": os.environ["PATH"]}
    there = {"cwd": tmp_path, "env": kept}
    command = tmp_path / "venv/bin/swin-embed"
    with subprocess.Popen(
        [command, "serve", "--port", "0"], stderr=subprocess.PIPE, text=True, **there
    ) as serving:
        try:
            said = ""
            while "lifecycle: ready" not in said:
                line = serving.stderr.readline()
                assert line, said
                said += line
            address = said.partition("running on ")[2].split()[0]
            served = run("curl", "--fail", "-F", f"files=@{photo}", f"{address}/embed", **there)
        finally:
            serving.terminate()
    vector = json.loads(served)["embeddings"][0]
    assert len(vector) == 256
    told = run(command, "embed", "photos", "--output", "vectors", "--json", **there)
    assert json.loads(told)["embedded"] == 1
    assert run(python, "-c", SNIPPET, photo, **there) == "(1, 256)\n"
    run(command, "export", "swin_nano_patch4_window7_224", "--precision", "int8", **there)
    assert (tmp_path / "models/swin_nano_patch4_window7_224.int8.onnx").is_file()
    assert json.loads(run(command, "doctor", "--json", **there))["problems"] == []
