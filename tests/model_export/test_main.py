import subprocess
import sys

import pytest
from safetensors.numpy import save_file

from model_export.__main__ import main
from model_export.catalog import NANO
from model_export.checkpoints import timm
from model_export.checkpoints.seeded import seeded

NAME = NANO.architecture.name


def test_it_says_what_it_did_and_needs_no_pytorch(tmp_path):
    script = (
        "import sys\n"
        "from model_export.__main__ import main\n"
        f"code = main(['{NAME}', '--weights', 'random', '--output', sys.argv[1]])\n"
        "sys.exit(code or 'torch' in sys.modules)\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "new" / "nano.onnx")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "new" / "nano.onnx").is_file()
    for fact in ("2,282,478", "10.6 MB", "256 dimensions", "untrained", "largest difference"):
        assert fact in done.stdout


def test_weights_from_a_file_are_trained_ones(tmp_path, capsys):
    tensors = seeded(NANO.architecture).tensors
    checkpoint = tmp_path / "mine.safetensors"
    save_file({timm.file_name(name): tensor for name, tensor in tensors.items()}, checkpoint)
    arguments = [NAME, "--weights", str(checkpoint), "--output", str(tmp_path / "nano.onnx")]
    assert main(arguments) == 0
    assert "mine.safetensors (trained)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "weights", "reason"),
    [
        ("swin_nono_patch4_window7_224", "random", f"the nearest names are {NAME}"),
        (NAME, "nowhere.safetensors", "no such file"),
        (NAME, "pyproject.toml", "not a safetensors file"),
    ],
)
def test_what_cannot_be_exported_gets_one_line_and_code_2(tmp_path, capsys, name, weights, reason):
    output = tmp_path / "model.onnx"
    assert main([name, "--weights", weights, "--output", str(output)]) == 2
    message = capsys.readouterr().err
    assert reason in message
    assert message.count("\n") == 1
    assert not output.exists()


def test_an_output_that_cannot_be_written_gets_one_line_and_code_2(tmp_path, capsys):
    (tmp_path / "file").touch()
    output = tmp_path / "file" / "model.onnx"
    assert main([NAME, "--weights", "random", "--output", str(output)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_weights_are_never_chosen_silently(capsys):
    with pytest.raises(SystemExit, match="2"):
        main([NAME])
    assert "--weights" in capsys.readouterr().err
