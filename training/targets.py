"""What a pupil shall say: a tutor's meaning and its own first word in one vector."""

import torch
from torch import Tensor
from torch.nn.functional import normalize

MEANING = 0.8
"""How long the part of a target is that the tutor says."""
COPIES = 0.6
"""How long the part is that the pupil said when it began; the squares add up to 1."""


def targets(meaning: Tensor, own: Tensor) -> Tensor:
    """What a pupil shall say of each picture: both parts at once, in its own coordinates.

    The tutor's features, less their mean, are cut down to the pupil's width along their principal
    axes and turned so that they fall on what the pupil says already as well as a rotation can.
    A sum serves both: of two pictures the product is a mean of the two similarities, and what is
    left over between the parts is small in so many dimensions.

    Args:
        meaning: The tutor's features [n, 1280].
        own: The pupil's standardised embeddings before it learns, [n, width].

    Returns:
        Of length 1, [n, width].
    """
    centred = meaning - meaning.mean(0)
    width = own.shape[1]
    _, axes = torch.linalg.eigh(centred.T @ centred)  # ascending
    short = normalize(centred @ axes[:, -width:])
    own = normalize(own)
    left, _, right = torch.linalg.svd(short.T @ own)
    return normalize(MEANING * (short @ left @ right) + COPIES * own)
