"""What a training run is determined by, apart from the machine's arithmetic."""

from dataclasses import dataclass

from model_export.architecture import Architecture
from model_export.catalog import NANO


@dataclass(frozen=True)
class Recipe:
    """Everything about a run that is a choice.

    Attributes:
        side: Pixels of the copies; small ones cost a twelfth of those at the model's full size.
        pairs: Pictures a step, of which two copies each are made.
        steps: How many.
        rate: The learning rate, after warming up.
        sheets: Of pictures, 32 each.
        decay: Of weights that are matrices.
        warm_up: Steps over which the rate rises.
    """

    side: int = 56
    pairs: int = 96
    steps: int = 325
    rate: float = 1e-3
    sheets: int = 96
    decay: float = 0.05
    warm_up: int = 50
    seed: int = 0
    architecture: Architecture = NANO.architecture


DEFAULT = Recipe()
