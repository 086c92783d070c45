import numpy as np

from model_export.checkpoints.seeded import seeded
from tests.support.small_model import SMALL_MODEL

ARCHITECTURE = SMALL_MODEL.architecture


def test_a_seed_determines_the_weights():
    first, again, other = seeded(ARCHITECTURE), seeded(ARCHITECTURE), seeded(ARCHITECTURE, seed=1)
    assert first.weights == again.weights
    assert first.weights.sha256 != other.weights.sha256
    assert not first.pretrained


def test_weights_are_initialised_as_in_the_paper():
    tensors = seeded(ARCHITECTURE).tensors
    assert not tensors["stages.0.blocks.0.attention.qkv.bias"].any()
    assert (tensors["stages.1.patch_merging.norm.weight"] == 1).all()
    for name in ("linear_embedding.weight", "stages.1.blocks.1.mlp.fc1.weight"):
        assert tensors[name].dtype == np.float32
        np.testing.assert_allclose(tensors[name].std(), 0.02, rtol=0.05)
        np.testing.assert_allclose(tensors[name].mean(), 0, atol=0.002)
