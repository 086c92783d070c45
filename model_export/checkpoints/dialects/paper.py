"""The paper's repository (and timm before 0.9): patch merging at the end of the stage before."""

from dataclasses import replace

from model_export.checkpoints.dialects.timm import TIMM

PAPER = replace(
    TIMM,
    name="the paper's repository",
    parts=TIMM.parts | {"stages.{stage}.patch_merging": "layers.{before}.downsample"},
)
