"""Checkpoint to artifact: what the file says about itself and what it computes."""

from pathlib import Path

import onnx
import pytest

from model_export.checkpoints.seeded import seeded
from model_export.export import export
from model_export.model_card import METADATA_KEY, ModelCard
from tests.small_model import SMALL_MODEL


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "small.onnx"
    export(SMALL_MODEL, seeded(SMALL_MODEL.architecture), path, name="an-example")
    return path


def test_the_artifact_is_a_valid_model_that_carries_its_card(artifact: Path):
    model = onnx.load(artifact)
    onnx.checker.check_model(model, full_check=True)
    (entry,) = model.metadata_props
    assert entry.key == METADATA_KEY
    card = ModelCard.model_validate_json(entry.value)
    assert card.name == "an-example"
    assert card.architecture == SMALL_MODEL.architecture.name
    assert card.embedding_dim == 128
    assert card.patch_tokens == 64
    assert not card.pretrained
    assert card.verification.max_relative_difference < 1e-5
