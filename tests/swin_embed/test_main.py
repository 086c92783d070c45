"""The one command: what it lists, how it ends."""

import subprocess
import sys
import urllib.request

import pytest

from model_export import __version__
from swin_embed.__main__ import COMMANDS, main
from tests.support.images import encode, noise
from tests.support.process import ROOT, SOON, running


def test_help_lists_every_command_and_imports_none(capsys):
    asked = "import sys; from swin_embed.__main__ import main; main(['--help'])\n"
    asked += "print({name.partition('.')[0] for name in sys.modules} & {'numpy', 'pydantic'})"
    command = [sys.executable, "-c", asked]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert told.splitlines()[-1] == "set()"
    for name, listed in COMMANDS.items():
        assert f"  {name} " in told
        assert listed.summary in told


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name, capsys):
    assert main([name, "--help"]) == 0
    told = capsys.readouterr().out
    assert told.startswith(f"Usage: swin-embed {name}")
    assert max(map(len, told.splitlines())) <= 80


def test_the_version(capsys):
    assert main(["--version"]) == main(["version"]) == 0
    assert capsys.readouterr().out == f"swin-embed, version {__version__}\n{__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "status", "line"),
    [
        (["photos/"], 2, "error: No such command 'photos/'; swin-embed --help tells more"),
        (["serve", "--prot", "1"], 2, "error: No such option '--prot'"),
        (["serve", "--port", "x"], 2, "error: SWIN_PORT: Input should be a valid integer"),
        (["serve", "a", "--model", "b"], 2, "error: a and --model b: which of them?"),
        (["serve", "nowhere.onnx"], 1, "error: SWIN_MODEL=nowhere.onnx is not a file"),
        (["inspect", "nowhere.onnx"], 1, "error: [Errno 2] No such file"),
        (["export", "swin_nono"], 1, "error: unknown architecture 'swin_nono'; the nearest"),
    ],
)
def test_what_goes_wrong_is_a_line_and_a_status(arguments, status, line):
    command = [sys.executable, "-m", "swin_embed", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=SOON)
    said = [told for told in done.stderr.splitlines() if "INFO" not in told]
    assert (done.returncode, len(said)) == (status, 1), done.stderr
    assert said[0].startswith(line)


def test_serves_what_it_is_told(artifact):
    program = ("-m", "swin_embed", "serve", str(artifact))
    with running(program) as (_, address):
        request = urllib.request.Request(
            f"{address}/embed", encode(noise(8, 8)), {"Content-Type": "image/png"}
        )
        with urllib.request.urlopen(request, timeout=SOON) as answer:
            assert answer.status == 200
