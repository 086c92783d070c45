"""What a training run is determined by, apart from the machine's arithmetic."""

import math
from dataclasses import dataclass

from model_export.catalog import NANO
from model_export.network.architecture import Architecture


@dataclass(frozen=True)
class Phase:
    """Steps at one size of the copies.

    Small copies cost a twelfth of those at the model's full size, but a network is good only near
    the size it learnt from (Touvron et al., 2019, arXiv:1906.06423).

    Attributes:
        side: Of the copies, in pixels.
        steps: How many.
        rate: The learning rate it begins with; it falls along a cosine to a thirtieth.
    """

    side: int
    steps: int
    rate: float

    def rate_at(self, step: int) -> float:
        """The learning rate of one of its steps, the first of which is 0."""
        return self.rate * (1 + math.cos(8 / 9 * math.pi * step / self.steps)) / 2


@dataclass(frozen=True)
class Recipe:
    """Everything about a run that is a choice.

    Attributes:
        phases: One after the other, in which it learns to tell copies apart.
        lessons: Then, in which it learns at larger sizes to say what it says at `taught_side`.
        taught_side: In pixels.
        pairs: Pictures a step of the phases, of which two copies each are made.
        pupils: Pictures a step of the lessons.
        sheets: Of pictures, 32 each.
        decay: Of weights that are matrices.
        warm_up: The first steps of the run and of each lesson, over which the rate rises.
    """

    phases: tuple[Phase, ...] = (Phase(56, 1800, 1e-3), Phase(112, 160, 2e-4))
    lessons: tuple[Phase, ...] = (Phase(112, 300, 5e-4), Phase(224, 1800, 6e-4))
    taught_side: int = 56
    pairs: int = 96
    pupils: int = 32
    sheets: int = 128
    decay: float = 0.05
    warm_up: int = 50
    seed: int = 0
    architecture: Architecture = NANO.architecture

    @property
    def steps(self) -> int:
        """Of all phases and lessons."""
        return self.untaught + sum(lesson.steps for lesson in self.lessons)

    @property
    def untaught(self) -> int:
        """Steps before the first lesson."""
        return sum(phase.steps for phase in self.phases)

    def at(self, step: int) -> tuple[int, float]:
        """The copies' side in pixels and the learning rate of a step of the run."""
        into = step
        for phase in self.phases + self.lessons:
            if into < phase.steps:
                risen = into if step >= self.untaught else step
                return phase.side, phase.rate_at(into) * min(1.0, (risen + 1) / self.warm_up)
            into -= phase.steps
        raise ValueError(f"the run has no step {step}")


DEFAULT = Recipe()
