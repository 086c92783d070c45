"""The Swin family as data: which architectures there are and all their published names."""

import difflib
from dataclasses import dataclass

from model_export.errors import UnknownArchitectureError
from model_export.model_card import Preprocessing


@dataclass(frozen=True)
class Architecture:
    """The shape of a Swin Transformer (paper, section 3.3), everything that its weights determine.

    Attributes:
        name: The name the card carries.
        image_size: Side of the square input, in pixels.
        patch_size: Side of a patch, in pixels.
        channels: `C`, the width of the first stage; it doubles with every stage.
        depths: Blocks in each stage.
        heads: Attention heads in each stage.
        window: `M`, the side of an attention window, in tokens.
        mlp_ratio: Hidden width of an MLP over the width of its stage.
    """

    name: str
    image_size: int
    channels: int
    depths: tuple[int, ...]
    heads: tuple[int, ...]
    window: int
    patch_size: int = 4
    mlp_ratio: int = 4

    @property
    def embedding_dim(self) -> int:
        """Width of the last stage, which is that of the embedding."""
        return self.stage_channels(len(self.depths) - 1)

    def stage_channels(self, stage: int) -> int:
        """Width of a stage's tokens: C, 2C, 4C, ..."""
        return self.channels << stage

    def stage_side(self, stage: int) -> int:
        """Side of a stage's square feature map, in tokens; merging halves it."""
        return self.image_size // self.patch_size >> stage

    def stage_window(self, stage: int) -> int:
        """Side of a stage's windows; a feature map smaller than `window` is one window."""
        return min(self.window, self.stage_side(stage))

    def shift(self, stage: int, block: int) -> int:
        """Cyclic shift of a block: M // 2 in every second one, unless one window holds all."""
        window = self.stage_window(stage)
        return window // 2 if block % 2 and window < self.stage_side(stage) else 0


@dataclass(frozen=True)
class Entry:
    """A model people ask for by name: its architecture and how its images are prepared."""

    architecture: Architecture
    preprocessing: Preprocessing
    aliases: tuple[str, ...] = ()


def imagenet(image_size: int, resize: int) -> Preprocessing:
    """Short side to `resize` pixels, centre crop, ImageNet's mean and standard deviation."""
    return Preprocessing(
        resize=resize,
        crop=image_size,
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
    )


# Evaluation transforms of the published models: 224 at a crop ratio of 0.9, 384 uncropped.
AT_224 = imagenet(224, resize=248)
AT_384 = imagenet(384, resize=384)

TINY = ((2, 2, 6, 2), (3, 6, 12, 24))
SMALL = ((2, 2, 18, 2), (3, 6, 12, 24))
BASE = ((2, 2, 18, 2), (4, 8, 16, 32))
LARGE = ((2, 2, 18, 2), (6, 12, 24, 48))

IN1K = (".ms_in1k",)
IN22K = (".ms_in22k", "_22k")
IN22K_TO_IN1K = (
    ".ms_in22k_ft_in1k",
    "_22kto1k",
    "_22kto1k_finetune",
)


def _entry(
    name: str,
    channels: int,
    depths_and_heads: tuple[tuple[int, ...], tuple[int, ...]],
    window: int,
    preprocessing: Preprocessing,
    suffixes: tuple[str, ...],
) -> Entry:
    depths, heads = depths_and_heads
    architecture = Architecture(name, preprocessing.crop, channels, depths, heads, window)
    return Entry(architecture, preprocessing, tuple(name + suffix for suffix in suffixes))


NANO = Entry(
    Architecture("swin_nano_patch4_window7_224", 224, 32, (2, 2, 2, 2), (1, 2, 4, 8), 7), AT_224
)
"""Ours, for trying the service out and for tests: 256 numbers from 2.3 M parameters."""

# Names without a suffix are timm's and the paper repository's; `.ms_...` suffixes are timm's,
# `_22k...` and `_finetune` the repository's configuration files and downloads.
CATALOG = (
    NANO,
    _entry("swin_tiny_patch4_window7_224", 96, TINY, 7, AT_224, IN1K + IN22K + IN22K_TO_IN1K),
    _entry("swin_small_patch4_window7_224", 96, SMALL, 7, AT_224, IN1K + IN22K + IN22K_TO_IN1K),
    _entry("swin_base_patch4_window7_224", 128, BASE, 7, AT_224, IN1K + IN22K + IN22K_TO_IN1K),
    _entry("swin_large_patch4_window7_224", 192, LARGE, 7, AT_224, IN22K + IN22K_TO_IN1K),
    _entry(
        "swin_base_patch4_window12_384",
        *(128, BASE, 12, AT_384),
        (*IN1K, "_finetune", *IN22K, *IN22K_TO_IN1K),
    ),
    _entry("swin_large_patch4_window12_384", 192, LARGE, 12, AT_384, IN22K + IN22K_TO_IN1K),
)

BY_NAME = {name: entry for entry in CATALOG for name in (entry.architecture.name, *entry.aliases)}


def find(name: str) -> Entry:
    """The entry published under `name`.

    Raises:
        UnknownArchitectureError: No entry has that name; the message gives the nearest ones.
    """
    if name in BY_NAME:
        return BY_NAME[name]
    near = difflib.get_close_matches(name, BY_NAME, n=3, cutoff=0.0)
    raise UnknownArchitectureError(
        f"unknown architecture '{name}'; the nearest names are {', '.join(near)}"
    )
