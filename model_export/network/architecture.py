"""The shape of a Swin Transformer: everything its weights and its images' size determine."""

from dataclasses import dataclass
from typing import Literal

MASK_VALUE = -100.0
"""Added to scores between tokens from opposite edges in the paper's implementation."""

LARGEST_IMAGE = 2048
"""Side of the largest image a network is built for; the largest published Swin takes 1,536."""


@dataclass(frozen=True)
class Architecture:
    """The shape of a Swin Transformer (V1: arXiv:2103.14030, 3.3; V2: arXiv:2111.09883, 3).

    Attributes:
        name: The name the card carries.
        image_size: Side of the square input, in pixels.
        channels: `C`, the width of the first stage; it doubles with every stage.
        depths: Blocks in each stage.
        heads: Attention heads in each stage.
        windows: `M` of each stage, the side of an attention window, in tokens.
        version: 2 for scaled cosine attention, continuous position bias, residual post-norm.
        pretrained_windows: V2: windows of each stage that its position bias was trained with, where
            they are not `windows`.
        patch_size: Side of a patch, in pixels.
        mlp_ratio: Hidden width of an MLP over the width of its stage.
        mask_value: Added, in shifted windows, to scores of pairs that only the shift brought
            together.
        always_partition: Windows are shifted even where one window covers the whole feature map.
        final_norm: There is a LayerNorm between the last stage and the mean over tokens.
    """

    name: str
    image_size: int
    channels: int
    depths: tuple[int, ...]
    heads: tuple[int, ...]
    windows: tuple[int, ...]
    version: Literal[1, 2] = 1
    pretrained_windows: tuple[int, ...] = ()
    patch_size: int = 4
    mlp_ratio: float = 4
    mask_value: float = MASK_VALUE
    always_partition: bool = False
    final_norm: bool = True

    @property
    def embedding_dim(self) -> int:
        """Width of the last stage, which is that of the embedding."""
        return self.stage_channels(len(self.depths) - 1)

    def stage_channels(self, stage: int) -> int:
        """Width of a stage's tokens: C, 2C, 4C, ..."""
        return self.channels << stage

    def stage_hidden(self, stage: int) -> int:
        """Hidden width of a stage's MLPs."""
        return int(self.stage_channels(stage) * self.mlp_ratio)

    def stage_stride(self, stage: int) -> int:
        """Side of what one of a stage's tokens stands for, in pixels; merging doubles it."""
        return self.patch_size << stage

    def stage_side(self, stage: int) -> int:
        """Side of a stage's square feature map, in tokens."""
        return self.image_size // self.stage_stride(stage)

    def stage_window(self, stage: int) -> int:
        """Side of a stage's windows; a feature map smaller than `M` is one window."""
        return min(self.windows[stage], self.stage_side(stage))

    def bias_window(self, stage: int) -> int:
        """V2: side of the windows that a stage's position bias was trained with."""
        trained = self.pretrained_windows[stage] if self.pretrained_windows else 0
        return trained or self.stage_window(stage)

    def shift(self, stage: int, block: int) -> int:
        """Cyclic shift of a block: M // 2 in every second one, unless one window holds all."""
        window = self.stage_window(stage)
        several = window < self.stage_side(stage)
        return window // 2 if block % 2 and (several or self.always_partition) else 0

    def faults(self) -> list[str]:
        """Why it cannot be built, if so; else nothing."""
        stages = range(len(self.depths))
        if not self.image_size <= LARGEST_IMAGE:
            return [f"its image size {self.image_size:,} is more than {LARGEST_IMAGE:,} pixels"]
        for stage in stages:
            if self.stage_channels(stage) % self.heads[stage]:
                channels, heads = self.stage_channels(stage), self.heads[stage]
                return [f"{channels} channels of stage {stage + 1} are not {heads} equal heads"]
            if self.always_partition and self.windows[stage] > self.stage_side(stage):
                return [
                    f"always_partition pads windows of {self.windows[stage]} to the "
                    f"{self.stage_side(stage)} x {self.stage_side(stage)} tokens of stage "
                    f"{stage + 1}"
                ]
        if self.image_size % self.stage_stride(len(self.depths) - 1):
            smallest = self.stage_stride(len(self.depths) - 1)
            return [f"its image size {self.image_size} is not a multiple of {smallest}"]
        return [
            f"windows of {self.stage_window(stage)} do not fill the {self.stage_side(stage)} x "
            f"{self.stage_side(stage)} tokens of stage {stage + 1} at image size {self.image_size}"
            for stage in stages
            if self.stage_side(stage) % self.stage_window(stage)
        ]
