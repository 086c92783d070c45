"""The paper's repository (and timm before 0.9): patch merging at the end of the stage before."""

from dataclasses import replace

from model_export.checkpoints.dialects.dialect import in_blocks
from model_export.checkpoints.dialects.timm import IN_BLOCK, TIMM

PAPER = replace(
    TIMM,
    name="the paper's repository",
    parts=TIMM.parts | {"stages.{stage}.patch_merging": "layers.{before}.downsample"},
)

SIMMIM = replace(
    PAPER,
    name="SimMIM",
    parts=PAPER.parts
    | in_blocks(
        "layers.{stage}.blocks.{block}",
        IN_BLOCK
        | {
            "attention.position_mlp.fc1": "attn.rpe_mlp.0",
            "attention.position_mlp.fc2": "attn.rpe_mlp.2",
        },
    ),
)
"""Swin V2 as pre-trained with SimMIM: the paper's repository renames `rpe_mlp` when it loads it."""
