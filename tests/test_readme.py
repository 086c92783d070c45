"""Shell commands of the README and the pages that continue it.

curl is run, others have their targets and arguments checked, or it says here who runs them.
"""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from model_export import __version__
from model_export.__main__ import command as export
from swin_embed.__main__ import command as swin_embed
from tests.support.images import encode, noise
from tests.support.process import running

ROOT = Path(__file__).parents[1]
SOON = 60

PAGES = ("README.md", "docs/http.md", "docs/export.md")
COMMANDS = [
    command
    for page in PAGES
    for block in re.findall(
        r"^```sh\n(.*?)^```", (ROOT / page).read_text(), re.DOTALL | re.MULTILINE
    )
    for command in block.replace("\\\n", " ").splitlines()
]
RUN_ELSEWHERE = {
    "pip install '.[cpu]'": "tests/test_wheel.py installs the wheel into a clean environment",
    "pip install '.[cpu,batch,s3]'": "the locks install the same extras in every run of CI",
    "docker compose up --build": "needs a container engine, which CI has not",
}


def having(start: str) -> list[str]:
    return [command for command in COMMANDS if command.startswith(start)]


def test_every_command_is_run_somewhere():
    known = [
        command
        for start in ("make ", "curl ", "python -m model_export ", "swin-embed ")
        for command in having(start)
    ]
    assert sorted([*known, *RUN_ELSEWHERE]) == sorted(COMMANDS)


@pytest.mark.parametrize("command", having("make "))
def test_make_knows_its_targets(command):
    subprocess.run([*shlex.split(command), "--dry-run"], cwd=ROOT, check=True, capture_output=True)


@pytest.fixture(scope="module")
def address(artifact):
    with running(model=artifact) as (_, address):
        yield address


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize("command", having("curl "))
def test_curl_gets_an_answer(command, address, tmp_path):
    for name, form in {"photo.jpg": "JPEG", "cat.jpg": "JPEG", "dog.png": "PNG"}.items():
        (tmp_path / name).write_bytes(encode(noise(50, 40), form))
    line = command.replace("localhost:8000", address).replace("curl ", "curl --fail --silent ", 1)
    done = subprocess.run(
        ["bash", "-c", line], cwd=tmp_path, check=True, capture_output=True, timeout=SOON
    )
    answers = done.stdout or (tmp_path / "photo.npy").read_bytes()
    assert answers.startswith((b'{"model":', b"\x93NUMPY"))


@pytest.mark.parametrize("command", having("python -m model_export "))
def test_the_exporter_takes_its_arguments(command):
    assert export.make_context("export", shlex.split(command, comments=True)[3:])


@pytest.mark.parametrize("command", having("swin-embed "))
def test_the_command_takes_its_arguments(command):
    name, *arguments = shlex.split(command, comments=True)[1:]
    assert swin_embed.get_command(None, name).make_context(name, arguments)


def test_what_stands_for_the_command_where_make_installed():
    (stand_in,) = re.findall(r"`\.venv/bin/python (-m \w+)`", (ROOT / "README.md").read_text())
    done = subprocess.run(
        [sys.executable, *stand_in.split(), "--version"], cwd=ROOT, check=True, capture_output=True
    )
    assert done.stdout.decode() == f"swin-embed, version {__version__}\n"


def test_the_python_that_needs_no_service(artifact, tmp_path, monkeypatch):
    (code,) = (
        block
        for block in re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
        if "Embedder" in block
    )
    for name in ("cat.jpg", "dog.png"):
        (tmp_path / name).write_bytes(encode(noise(50, 40)))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("swin_embed.artifacts.find", lambda *_, **__: artifact)
    found = {}
    exec(code, found)  # noqa: S102 - our own words
    assert found["vectors"].shape == (2, 128)
