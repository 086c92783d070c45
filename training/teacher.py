"""What a network says at the size it learnt from: the teacher of itself at larger sizes."""

from copy import deepcopy

import torch
from torch import Generator, Tensor
from torch.nn.functional import normalize

from training import pool, views
from training.network import Network

COPIES = 4
"""Of each picture; its prototype is their mean."""


class Teacher:
    """A network as it is now, frozen, at one size.

    Attributes:
        prototypes: What it says of each picture, of length 1, [pictures, width].
    """

    @torch.no_grad()
    def __init__(self, network: Network, side: int, pictures: Tensor, seed: int) -> None:
        self.network = deepcopy(network).eval()
        self.network.resize(side)
        g = Generator().manual_seed(seed)
        parts = pool.shrink(pictures, side).split(64)
        said = [
            torch.cat([self.network(views.copies(g, part, side, views.MILD)) for part in parts])
            for _ in range(COPIES)
        ]
        self.network.standardise.running_mean.copy_(torch.cat(said).mean(0))
        self.network.standardise.running_var.copy_(torch.cat(said).var(0))
        standard = torch.stack([normalize(self.network.standardise(one)) for one in said])
        self.prototypes = normalize(standard.mean(0))

    @torch.no_grad()
    def says(self, images: Tensor) -> Tensor:
        """Standardised embeddings, [n, 3, side, side] -> [n, width]."""
        embedded: Tensor = self.network.standardise(self.network(images))
        return embedded
