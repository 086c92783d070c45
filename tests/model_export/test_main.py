import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from model_export.__main__ import main
from model_export.catalog import CATALOG, NANO
from model_export.checkpoints.seeded import seeded
from model_export.errors import OutputError
from service.engine.model import load
from tests.support import layouts

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
    for fact in ("2,282,478", "10.4 MB", "256 dimensions", "untrained", "largest difference"):
        assert fact in done.stdout


def test_weights_from_a_file_are_trained_ones(tmp_path, capsys):
    tensors = seeded(NANO.architecture).tensors
    checkpoint = tmp_path / "mine.safetensors"
    save_file(layouts.timm(tensors), checkpoint)
    arguments = [NAME, "--weights", str(checkpoint), "--output", str(tmp_path / "nano.onnx")]
    assert main(arguments) == 0
    assert "mine.safetensors (trained)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "weights", "reason"),
    [
        ("swin_nono_patch4_window7_224", "random", f"the nearest names are {NAME}"),
        (NAME, "nowhere.safetensors", "no such file"),
        (NAME, "pyproject.toml", "neither a safetensors file"),
    ],
)
def test_what_cannot_be_exported_gets_one_line_and_code_1(tmp_path, capsys, name, weights, reason):
    output = tmp_path / "model.onnx"
    assert main([name, "--weights", weights, "--output", str(output)]) == 1
    message = capsys.readouterr().err
    assert reason in message
    assert message.count("\n") == 1
    assert not output.exists()


@pytest.mark.parametrize(
    ("output", "reason"),
    [("file/model.onnx", "cannot be written: "), ("folder", "is a folder")],
)
def test_an_output_that_cannot_be_written_is_named_before_any_work(
    tmp_path, capsys, monkeypatch, output, reason
):
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    monkeypatch.delattr("model_export.export.build")
    assert main([NAME, "--weights", "random", "--output", str(tmp_path / output)]) == 1
    message = capsys.readouterr().err
    assert f"{tmp_path / output} {reason}" in message
    assert message.count("\n") == 1


def test_a_checkpoint_alone_is_recognised(tmp_path, capsys):
    tensors = seeded(NANO.architecture).tensors
    head = {"head.weight": np.zeros((10, 256), np.float32), "head.bias": np.zeros(10, np.float32)}
    tensors = tensors | head
    checkpoint = tmp_path / "mine.safetensors"
    save_file(layouts.transformers(tensors), checkpoint)
    assert main([str(checkpoint), "--output", str(tmp_path / "nano.onnx")]) == 0
    said = capsys.readouterr().out
    assert f"recognised {NAME} in transformers's layout behind 'swin.'" in said
    assert "left out the classifier of 10 classes" in said


def test_an_artifact_with_feature_maps_and_logits_serves_too(tmp_path, capsys):
    tensors = seeded(NANO.architecture).tensors
    head = {"head.weight": np.eye(10, 256, dtype=np.float32), "head.bias": np.zeros(10, np.float32)}
    tensors = tensors | head
    save_file(layouts.timm(tensors), tmp_path / "mine.safetensors")
    arguments = [str(tmp_path / "mine.safetensors"), "--features", "--logits"]
    assert main([*arguments, "--output", str(tmp_path / "nano.onnx")]) == 0
    assert "features_stride32 256 x 7 x 7" in capsys.readouterr().out
    model = load(tmp_path / "nano.onnx", "cpu", 1)
    shapes = {output.name: output.shape for output in model.card.outputs}
    assert shapes["features_stride4"] == (32, 56, 56)
    assert shapes["logits"] == (10,)
    assert model.run(np.zeros((1, 224, 224, 3), np.uint8)).shape == (1, 256)


def test_another_image_size_gets_windows_to_match(tmp_path, capsys):
    arguments = [NAME, "--weights", "random", "--image-size", "256"]
    assert main([*arguments, "--output", str(tmp_path / "nano.onnx")]) == 0
    assert "windows from 7 to 8, position bias tables interpolated" in capsys.readouterr().out
    card = load(tmp_path / "nano.onnx", "cpu", 1).card
    assert (card.image_size, card.preprocessing.resize) == (256, 284)


@pytest.mark.parametrize(
    ("options", "name", "file"),
    [
        ([], NAME, f"{NAME}.onnx"),
        (["--image-size", "224"], NAME, f"{NAME}.onnx"),
        (["--image-size", "256"], f"{NAME}_at_256", f"{NAME}_at_256.onnx"),
        (["--precision", "int8"], NAME, f"{NAME}.int8.onnx"),
    ],
)
def test_vectors_that_do_not_compare_have_names_and_files_of_their_own(
    monkeypatch, options, name, file
):
    asked = []

    def written(_entry, _checkpoint, path, name, *_rest):
        asked.append((name, path))
        raise OutputError("not now")

    monkeypatch.setattr("model_export.making.export", written)
    assert main([NAME, "--weights", "random", *options]) == 1
    assert asked == [(name, Path("models") / file)]


def test_the_list_has_every_name_and_size(capsys):
    assert main(["--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + len(CATALOG)
    (tiny,) = (line.split() for line in lines if line.startswith("swinv2_tiny_window8_256.ms"))
    assert tiny[1:] == [
        *("27.6", "M", "110", "MB", "768", "256", "x", "256", "mit"),
        "hf://timm/swinv2_tiny_window8_256.ms_in1k",
    ]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([NAME, "--weights", "hub"], "its weights come with swin-embed; leave --weights out, "),
        ([NAME, "--weights", "random", "--image-size", "230"], "not a multiple of 32"),
        ([NAME, "--weights", "random", "--logits"], "has no classifier"),
        (["a.pth", "--weights", "random"], "is a checkpoint already"),
        ([NAME, "--calibration", "photos"], "--calibration is for --precision int8 and fp16"),
        ([NAME, "--min-cosine", "0"], "--min-cosine is for --precision int8 and fp16"),
        (["hf://one"], "not of the form hf://ORG/REPOSITORY"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(capsys, arguments, reason):
    assert main(arguments) == 1
    message = capsys.readouterr().err
    assert reason in message
    assert message.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([], "name a model"),
        ([NAME, "--image-size", "0"], "'--image-size': 0 is not in the range"),
        ([NAME, "--precision", "int8", "--min-cosine", "nan"], "'nan' is not a cosine"),
        ([NAME, "--precision", "int8", "--min-cosine", "high"], "'high' is not a cosine"),
        ([NAME, "--precision", "int8", "--min-cosine", "98"], "'98' is not a cosine"),
    ],
)
def test_options_that_make_no_sense_are_refused(capsys, arguments, reason):
    assert main(arguments) == 2
    assert reason in capsys.readouterr().err
