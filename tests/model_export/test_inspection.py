"""inspect and compare: what is in a file, and how far two are apart."""

import onnx
import pytest

from model_export.__main__ import main
from model_export.catalog import NANO
from model_export.checkpoints.seeded import seeded
from model_export.export import Lowering, export
from model_export.inspection import contents, distance
from tests.support.images import photos
from tests.support.small_model import SMALL_MODEL
from tests.support.weights import lively


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("artifacts")
    for precision in ("fp32", "fp16", "int8"):
        path = folder / f"{precision}.onnx"
        lowering = Lowering(precision)
        export(SMALL_MODEL, lively(SMALL_MODEL.architecture), path, lowering=lowering)
    export(NANO, seeded(NANO.architecture), folder / "nano.onnx")
    return folder


def test_every_precision_multiplies_as_often(files):
    # Linear embedding; blocks: 12 C^2 hw + 2 M^2 hw C (paper, equation 2, and the MLP's
    # 8 C^2 hw); merging; the mean over tokens.
    first = 64 * 48 * 64 + 2 * (12 * 64**2 * 64 + 2 * 16 * 64 * 64)
    second = 16 * 256 * 128 + 2 * (12 * 128**2 * 16 + 2 * 16 * 16 * 128)
    for precision in ("fp32", "fp16", "int8"):
        assert contents(files / f"{precision}.onnx").multiplications == first + second + 16 * 128


def test_bytes_are_where_the_precision_puts_them(files):
    full, half, eighths = (contents(files / f"{p}.onnx") for p in ("fp32", "fp16", "int8"))
    assert full.stored.most_common(1)[0][0] == "float"
    assert half.stored.most_common(1)[0][0] == "float16"
    assert eighths.stored["int8"] > 12 * 64**2 * 2
    assert eighths.size < half.size < full.size == (files / "fp32.onnx").stat().st_size


def test_inspect_tells_the_card_and_the_cost(files, capsys):
    assert main(["inspect", str(files / "nano.onnx")]) == 0
    said = capsys.readouterr().out
    for fact in ('"embedding_dim": 256', "2,282,478", "0.37 GMAC", "8 Softmax", "MB: float 1"):
        assert fact in said


def test_a_file_is_as_far_from_itself_as_nothing(files):
    found = distance(files / "fp32.onnx", files / "fp32.onnx", None)
    assert found.largest_difference == 0
    assert found.worst_cosine == pytest.approx(1, abs=1e-12)


def test_compare_measures_on_somebodys_images(files, tmp_path, capsys):
    for name in ("coffee", "china"):
        photos()[name].save(tmp_path / f"{name}.png")
    command = ["compare", str(files / "fp32.onnx"), str(files / "int8.onnx")]
    assert main([*command, "--images", str(tmp_path)]) == 0
    assert capsys.readouterr().out.startswith("2 images: cosine 0.99")


def test_each_row_is_compared_with_its_own(files):
    far = distance(files / "fp32.onnx", files / "int8.onnx", None)
    near = distance(files / "fp32.onnx", files / "fp16.onnx", None)
    assert 0.99 < far.worst_cosine < near.worst_cosine < 1
    assert far.largest_difference > near.largest_difference


@pytest.mark.parametrize("command", ["inspect", "compare"])
def test_what_is_no_artifact_gets_one_line_and_code_1(files, tmp_path, capsys, command):
    bare = onnx.load(files / "fp32.onnx")
    del bare.metadata_props[:]
    onnx.save(bare, tmp_path / "bare.onnx")
    cases = {
        "pyproject.toml": "not an ONNX file",
        str(tmp_path / "bare.onnx"): "no model card",
        "nowhere.onnx": "nowhere.onnx",
    }
    others = [str(files / "fp32.onnx")] if command == "compare" else []
    for name, reason in cases.items():
        assert main([command, name, *others]) == 1
        message = capsys.readouterr().err
        assert reason in message
        assert message.count("\n") == 1


def test_networks_of_different_shapes_are_not_compared(files, capsys):
    assert main(["compare", str(files / "fp32.onnx"), str(files / "nano.onnx")]) == 1
    assert "32 pixels to 128 dimensions" in capsys.readouterr().err
