"""Untrained weights, the same for the same seed, initialised as the paper's implementation does."""

import hashlib
import math

import numpy as np

from model_export.model_card import Weights
from model_export.network.architecture import Architecture
from model_export.network.parameters import Checkpoint, Tensor, shapes

STANDARD_DEVIATION = np.float32(0.02)


def seeded(architecture: Architecture, seed: int = 0) -> Checkpoint:
    """Random weights: matrices and bias tables normal, biases 0, LayerNorm weights 1.

    The logit scale of V2 is log 10, the temperature 0.1.

    The paper's implementation draws from a normal distribution with standard deviation 0.02,
    truncated at -2 and 2: a hundred standard deviations away, so there is nothing to cut off.
    """
    generator = np.random.default_rng(seed)
    tensors: dict[str, Tensor] = {}
    digest = hashlib.sha256()
    for name, shape in shapes(architecture).items():
        tensors[name] = _initial(name, shape, generator)
        digest.update(name.encode())
        digest.update(tensors[name].data)
    source = Weights(source=f"random, seed {seed}", sha256=digest.hexdigest())
    return Checkpoint(tensors, source, pretrained=False)


def _initial(name: str, shape: tuple[int, ...], generator: np.random.Generator) -> Tensor:
    if name.endswith(".bias"):
        return np.zeros(shape, np.float32)
    if name.endswith(".logit_scale"):
        return np.full(shape, math.log(10), np.float32)
    if len(shape) == 1:
        return np.ones(shape, np.float32)
    draws = generator.standard_normal(shape, np.float32)
    draws *= STANDARD_DEVIATION
    return draws
