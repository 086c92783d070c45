"""What makes copies embed alike and pictures apart."""

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity, cross_entropy, normalize

TEMPERATURE = 0.06
SPREAD = 0.1
ECHO = 4.0


def contrast(first: Tensor, second: Tensor, pictures: Tensor) -> tuple[Tensor, float]:
    """The loss of two copies of each picture, and the share whose copy was the nearest.

    InfoNCE (van den Oord et al., 2018, arXiv:1807.03748) in both directions among all copies of
    the step, plus KoLeo (Sablayrolles et al., 2019, arXiv:1806.03198) as SSCD has it, which pushes
    each embedding from its nearest neighbour and so fills the sphere.

    Args:
        first: Embeddings [n, width], not normalised.
        second: The same of the other copies.
        pictures: Which picture each row is of, [n].
    """
    n = len(pictures)
    both, of = normalize(torch.cat([first, second])), torch.cat([pictures, pictures])
    similarity = both @ both.T
    same = of[:, None] == of[None, :]
    partner = torch.arange(2 * n).roll(n)
    hidden = same.scatter(1, partner[:, None], False)
    logits = (similarity / TEMPERATURE).masked_fill(hidden, -torch.inf)
    right = float((logits.argmax(1) == partner).float().mean())
    nearest = similarity.masked_fill(same, -1.0).amax(1)
    distance = (2 - 2 * nearest).clamp_min(1e-4).sqrt()
    return cross_entropy(logits, partner) - SPREAD * distance.log().mean(), right


def echo(
    pupil: Tensor, teacher: Tensor, prototypes: Tensor, pictures: Tensor
) -> tuple[Tensor, float]:
    """The loss of a pupil's embeddings, and the share that found its picture.

    InfoNCE against what the teacher says of every picture, so that a small step has thousands to
    tell apart, and the cosine to what the teacher says of the same copy.

    Args:
        pupil: Embeddings [n, width], not normalised.
        teacher: The teacher's of the same copies.
        prototypes: The teacher's of all pictures, of length 1, [pictures, width].
        pictures: Which picture each row is of, [n].
    """
    logits = normalize(pupil) @ prototypes.T / TEMPERATURE
    right = float((logits.argmax(1) == pictures).float().mean())
    apart = 1 - cosine_similarity(pupil, teacher).mean()
    return cross_entropy(logits, pictures) + ECHO * apart, right
