"""Without an extra a command says in one line what to install; the doctor runs all the same."""

import json
import os
import subprocess
import sys

import pytest

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
