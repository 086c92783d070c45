"""The one command: what it lists, how it ends."""

import os
import re
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
    assert not re.search(r"TEXT|RANGE|INTEGER|FLOAT", told)  # click's words, not ours


@pytest.mark.parametrize("name", ["serve", "doctor"])
def test_a_model_is_a_name_or_a_file(name, capsys):
    assert main([name, "--help"]) == 0
    told = capsys.readouterr().out
    assert told.count("--model ") == 1
    assert "--model NAME|FILE" in told


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
        (["inspect", "nowhere.onnx"], 1, "error: nowhere.onnx: No such file"),
        (["export", "swin_nono"], 1, "error: unknown architecture 'swin_nono'; the nearest"),
    ],
)
def test_what_goes_wrong_is_a_line_and_a_status(arguments, status, line):
    command = [sys.executable, "-m", "swin_embed", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=SOON)
    said = done.stderr.splitlines()
    assert (done.returncode, len(said)) == (status, 1), done.stderr
    assert said[0].startswith(line)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_can_complete_commands_and_models(shell):
    def asked(kind, **words):
        variables = {"_SWIN_EMBED_COMPLETE": f"{shell}_{kind}"} | words
        program = (
            "import sys; sys.argv[0] = 'swin-embed'; from swin_embed.__main__ import main; main()"
        )
        command = [sys.executable, "-c", program]
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=os.environ | variables,
            capture_output=True,
            text=True,
            check=False,
        )
        assert "Traceback" not in done.stderr
        return done.stdout

    assert "_SWIN_EMBED_COMPLETE" in asked("source")
    started = "du" if shell == "fish" else "1"
    assert "duplicates" in asked("complete", COMP_WORDS="swin-embed du", COMP_CWORD=started)
    started = "swin_na" if shell == "fish" else "2"
    model = asked("complete", COMP_WORDS="swin-embed serve swin_na", COMP_CWORD=started)
    assert "swin_nano_patch4_window7_224" in model


def test_models_are_a_table_in_a_terminal_and_whole_in_a_pipe(monkeypatch, capsys):
    assert main(["models"]) == 0
    whole = capsys.readouterr().out.splitlines()
    assert whole[0].startswith("name")
    assert whole[0].endswith("weights")
    monkeypatch.setattr("model_export.console.watched", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["models"]) == 0
    fitting = capsys.readouterr().out.splitlines()
    assert max(len(line) for line in fitting[1:]) <= 80
    assert fitting[-1] == "In a wider terminal, or a pipe: dimensions, input, licence, weights"
    assert len(fitting) == len(whole) + 1


def test_tunes_the_model_that_comes_with_it(artifact, monkeypatch, capsys):
    monkeypatch.setattr("swin_embed.artifacts.find", lambda model, **_: artifact)
    assert main(["tune", "--seconds", "0.01"]) == 0
    assert "images/s, a lone image in" in capsys.readouterr().out


def test_serves_what_it_is_told(artifact):
    program = ("-m", "swin_embed", "serve", str(artifact))
    with running(program) as (_, address):
        request = urllib.request.Request(
            f"{address}/embed", encode(noise(8, 8)), {"Content-Type": "image/png"}
        )
        with urllib.request.urlopen(request, timeout=SOON) as answer:
            assert answer.status == 200
