"""From what somebody typed to what the model is called."""

import pytest

from model_export.catalog import NANO
from model_export.checkpoints.seeded import seeded
from model_export.source import find


@pytest.fixture
def small(monkeypatch):
    """Stand in for the weights: these are about names."""
    weights = seeded(NANO.architecture)
    monkeypatch.setattr("model_export.source.seeded", lambda _architecture: weights)
    monkeypatch.setattr("model_export.source._read", lambda _address, asked: (asked, weights))


@pytest.mark.parametrize("weights", ["random", "hub", "some.safetensors"])
def test_a_name_on_the_hub_has_no_slash_in_the_models_name(small, weights):
    """/v2/models/NAME/infer could not be reached with one."""
    name, entry, _ = find("microsoft/swin-tiny-patch4-window7-224", weights)
    assert name == "swin-tiny-patch4-window7-224"
    assert entry.architecture.name == "swin_tiny_patch4_window7_224"
