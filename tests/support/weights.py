"""Weights on which a mistake shows: nothing is zero, one or nearly so."""

import math

import numpy as np

from model_export.model_card import Weights
from model_export.network.parameters import Checkpoint, shapes


def lively(architecture, seed=0):
    """Random weights with peaked attention, strong position biases and biases everywhere."""
    generator = np.random.default_rng(seed)

    def tensor(name, shape):
        draws = generator.standard_normal(shape)
        if name.endswith("relative_position_bias_table"):
            return draws
        if name.endswith("logit_scale"):
            return math.log(30) + draws  # some above the limit of log 100
        if name.endswith("bias"):
            return draws / 2
        if len(shape) == 1:
            return 1 + draws / 4
        return draws * 1.5 / math.sqrt(math.prod(shape[1:]))

    tensors = {
        name: tensor(name, shape).astype(np.float32) for name, shape in shapes(architecture).items()
    }
    if architecture.version == 2:
        for name in (n for n in tensors if n.endswith("qkv.bias")):
            np.split(tensors[name], 3)[1][:] = 0  # V2's keys have none
    return Checkpoint(tensors, Weights(source="lively", sha256="0"), pretrained=False)
