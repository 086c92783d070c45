"""Without an extra a command says in one line what to install; the doctor runs all the same."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from swin_embed.__main__ import main
from swin_embed.explore.arrangement import Arrangement
from tests.support.eventually import eventually
from tests.support.images import encode, noise
from tests.support.process import ROOT, SOON


@pytest.fixture
def without(tmp_path):
    """Run the command where a module is not installed."""

    def run(module, *arguments):
        missing = f"raise ModuleNotFoundError(\"No module named '{module}'\", name='{module}')"
        (tmp_path / f"{module}.py").write_text(missing)
        return subprocess.run(
            [sys.executable, "-m", "swin_embed", *arguments],
            env=os.environ | {"PYTHONPATH": f"{tmp_path}:{ROOT}", "SWIN_HOME": str(tmp_path)},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=4 * SOON,
        )

    return run


@pytest.mark.parametrize(
    ("module", "arguments", "extra"),
    [
        ("onnxruntime", ["serve"], "cpu"),
        ("onnxscript", ["serve"], "export"),
        ("onnx", ["inspect", "x.onnx"], "export"),
        ("fsspec", ["embed", "photos", "--output", "out"], "batch"),
        ("pyarrow", ["duplicates", "out"], "batch"),
        ("lancedb", ["embed", "photos", "--output", "out", "--format", "lance"], "search"),
    ],
)
def test_it_says_what_to_install(without, module, arguments, extra):
    done = without(module, *arguments)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(
        f"error: swin-embed {arguments[0]} needs {module}, which is not installed: "
        f"pip install '{ROOT}[{extra}]'"
    )
    assert "Traceback" not in done.stderr


@pytest.fixture
def collection(artifact, tmp_path):
    (tmp_path / "photos").mkdir()
    for number in range(12):
        (tmp_path / f"photos/{number}.png").write_bytes(encode(noise(40, 40, number)))
    place = str(tmp_path / "vectors")
    assert (
        main(["embed", str(tmp_path / "photos"), "--output", place, "--model", str(artifact)]) == 0
    )
    return place


@pytest.mark.parametrize(
    ("module", "image", "extra"),
    [("lancedb", "photos/1.png", "search"), ("aiohttp", "http://127.0.0.1:9/x.png", "batch")],
)
def test_a_search_says_what_to_install(without, collection, artifact, module, image, extra):
    done = without(module, "search", collection, image, "--model", str(artifact))
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("error: ")
    assert f" needs {module}, which is not installed: pip install '{ROOT}[{extra}]'" in last


@pytest.mark.parametrize("module", ["sklearn", "openTSNE"])
def test_the_explorer_says_what_to_install(tmp_path, monkeypatch, module):
    (tmp_path / f"{module}.py").write_text(f"raise ModuleNotFoundError('', name='{module}')")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{ROOT}")
    vectors = np.random.default_rng(0).normal(size=(20, 8)).astype(np.float32)
    vectors.tofile(tmp_path / "vectors")
    arrangement = Arrangement(tmp_path, vectors)
    arrangement.start()
    eventually(lambda: not arrangement.state()["running"])
    assert arrangement.state()["trouble"] == (
        f"the map with its clusters needs {module}, which is not installed: "
        f"pip install '{ROOT}[explore]'"
    )
    arrangement.close()


def test_the_doctor_runs_with_nothing_but_the_base_installation(without):
    done = without("onnxruntime", "doctor", "--json")
    assert done.returncode == 1
    (problem,) = json.loads(done.stdout)["problems"]
    assert problem.startswith("swin-embed serve needs onnxruntime")


def test_python_is_told_too(tmp_path):
    (tmp_path / "onnxruntime.py").write_text("raise ModuleNotFoundError('', name='onnxruntime')")
    done = subprocess.run(
        [sys.executable, "-c", "from swin_embed import Embedder"],
        env=os.environ | {"PYTHONPATH": f"{tmp_path}:{ROOT}"},
        capture_output=True,
        text=True,
        timeout=4 * SOON,
    )
    assert "swin_embed.Embedder needs onnxruntime, which is not installed: pip" in done.stderr
