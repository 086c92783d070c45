"""From a name to a file that is made once."""

import threading
from pathlib import Path

import pytest

from model_export.catalog import NANO
from model_export.errors import CheckpointError
from model_export.model_card import ModelCard, Verification
from service.errors import ArtifactError
from swin_embed import artifacts


@pytest.fixture
def made(monkeypatch):
    """What was made: stands in for the exporter, which has tests of its own."""
    asked = []

    def make(name, output, *, weights, precision, tell):
        asked.append((name, weights, precision))
        output.write_bytes(b"artifact")
        check = Verification(
            reference="fp32",
            images=1,
            max_relative_difference=0,
            mean_cosine=1,
            worst_cosine=1,
        )
        return type("Made", (), {"card": ModelCard.model_construct(verification=check)})

    monkeypatch.setattr("model_export.making.make", make)
    return asked


def test_an_artifact_is_itself(tmp_path, made):
    assert artifacts.find("some/model.onnx", home=tmp_path) == Path("some/model.onnx")
    with pytest.raises(ArtifactError, match="made already"):
        artifacts.find("some/model.onnx", precision="int8", home=tmp_path)
    assert not made


def test_a_name_is_made_once_for_each_precision(tmp_path, made):
    name = "microsoft/swin-tiny-patch4-window7-224"
    first = artifacts.find(name, home=tmp_path)
    assert artifacts.find(name, home=tmp_path) == first
    assert artifacts.find(name, precision="int8", home=tmp_path) != first
    assert artifacts.find(name, weights="random", home=tmp_path) != first
    assert made == [(name, None, "fp32"), (name, None, "int8"), (name, "random", "fp32")]
    assert first == tmp_path / "models" / "microsoft_swin-tiny-patch4-window7-224.fp32.onnx"


def test_without_a_name_it_is_the_model_that_comes_with_the_package(tmp_path, made):
    file = artifacts.find(home=tmp_path)
    assert made == [(NANO.name, None, "fp32")]
    assert file.name.startswith(f"{NANO.name}-")


def test_a_checkpoint_that_changed_is_another_model(tmp_path, made):
    checkpoint = tmp_path / "mine.safetensors"
    found = set()
    for content in (b"one", b"two"):
        checkpoint.write_bytes(content)
        found.add(artifacts.find(checkpoint, home=tmp_path))
    (tmp_path / "config.json").write_text("{}")
    found.add(artifacts.find(checkpoint, home=tmp_path))
    assert len(found) == len(made) == 3


def test_a_cache_that_cannot_be_written_says_what_to_set(tmp_path, made):
    (tmp_path / "home").write_text("a file")
    with pytest.raises(ArtifactError, match="set SWIN_HOME to a folder"):
        artifacts.find(home=tmp_path / "home")


def test_who_asks_at_once_waits_for_the_first(tmp_path, made):
    told = []
    threads = [
        threading.Thread(target=artifacts.find, kwargs={"home": tmp_path, "tell": told.append})
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1


def test_what_a_killed_process_left_is_cleared_up(tmp_path, made):
    file = artifacts.find(home=tmp_path)
    file.unlink()
    unfinished = file.parent / f".{file.name}.abc.tmp"
    unfinished.touch()
    artifacts.find(home=tmp_path)
    assert not unfinished.exists()


def test_what_cannot_be_made_is_not_kept(tmp_path):
    with pytest.raises(CheckpointError):
        artifacts.find("nowhere.safetensors", home=tmp_path)
    assert not list((tmp_path / "models").glob("*.onnx"))
