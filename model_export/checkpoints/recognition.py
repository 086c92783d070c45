"""Which dialect a file speaks and which network it holds, from the names and shapes in it."""

import math
import re
from dataclasses import dataclass
from typing import Literal

from model_export.checkpoints.dialects.dialect import Dialect
from model_export.checkpoints.dialects.paper import PAPER
from model_export.checkpoints.dialects.timm import TIMM
from model_export.checkpoints.dialects.torchvision import TORCHVISION
from model_export.checkpoints.dialects.transformers import TRANSFORMERS, TRANSFORMERS_IN_MEMORY
from model_export.checkpoints.formats.stored import Stored
from model_export.errors import CheckpointError
from model_export.network.architecture import Architecture

# The paper's before timm's: what tells them apart is a tensor that timm's never have.
DIALECTS = (PAPER, TIMM, TRANSFORMERS, TRANSFORMERS_IN_MEMORY, TORCHVISION)

OTHERS = (
    ("a Swin of OpenMMLab", r"attn\.w_msa\."),
    ("a Swin-MLP", r"\.spatial_mlp\."),
    ("timm's own variant of Swin V2 (swinv2_cr)", r"attn\.meta_mlp\."),
    ("a ConvNeXt", r"(dwconv|conv_dw|downsample_layers|convnext)"),
    ("a Vision Transformer", r"(^|\.)(cls_token|class_token|pos_embed|pos_embedding)$"),
    ("a ResNet", r"(^|\.)layer1\.0\.conv1\."),
)
"""Networks that people take for one of ours, and a name that gives each away."""


@dataclass(frozen=True)
class Recognised:
    """A Swin Transformer in a file.

    Attributes:
        dialect: Whose names it has.
        prefix: What stands before all of them, for example `module.`.
        tensors: Those behind the prefix, by the dialect's names.
        others: Names of the rest.
    """

    dialect: Dialect
    prefix: str
    tensors: Stored
    others: tuple[str, ...]


def recognise(stored: Stored) -> Recognised:
    """Find the network among a file's tensors.

    Raises:
        CheckpointError: It holds none; the message says what it looks like instead.
    """
    for dialect in DIALECTS:
        anchor = f"{dialect.parts['linear_embedding']}.weight"
        prefixes = [n.removesuffix(anchor) for n in stored if n.endswith(anchor)]
        prefixes = [p for p in prefixes if _speaks(dialect, _behind(p, stored))]
        if prefixes:
            # A teacher's weights are an average of its student's, and what is evaluated.
            prefix = min(prefixes, key=lambda p: ("teacher" not in p, "ema" not in p, len(p), p))
            others = tuple(name for name in stored if not name.startswith(prefix))
            return Recognised(dialect, prefix, _behind(prefix, stored), others)
    for name, pattern in OTHERS:
        if any(re.search(pattern, tensor) for tensor in stored):
            raise CheckpointError(f"looks like {name}, which is not exported here; give a Swin's")
    some = ", ".join(list(stored)[:3]) or "none"
    raise CheckpointError(
        f"holds no Swin Transformer: {len(stored)} tensors ({some}, ...); "
        "give weights in timm's, the paper's, transformers' or torchvision's layout"
    )


def architecture(found: Recognised) -> Architecture:
    """What the tensors say of the network: windows of 0 where they do not say, as in most of V2's.

    Raises:
        CheckpointError: They contradict each other.
    """
    patch = _shape(found, "linear_embedding.weight")
    depths: list[int] = []
    while count := _count(found, len(depths)):
        depths.append(count)
    version: Literal[1, 2] = 1
    if _has(found, "stages.0.blocks.0.attention.logit_scale"):
        version = 2
    measure = "logit_scale" if version == 2 else "relative_position_bias_table"
    attention = [f"stages.{stage}.blocks.0.attention" for stage in range(len(depths))]
    measures = [_shape(found, f"{name}.{measure}") for name in attention]
    if version == 1:
        windows = [(math.isqrt(shape[0]) + 1) // 2 for shape in measures]
        heads, trained = [shape[1] for shape in measures], []
    else:
        tables = [_coordinates(found, name) for name in attention]
        windows, trained = [w for w, _ in tables], [t for _, t in tables]
        heads = [shape[0] for shape in measures]
    hidden = _shape(found, "stages.0.blocks.0.mlp.fc1.weight")[0]
    return Architecture(
        name=f"swin{'v2' if version == 2 else ''}_c{patch[0]}_d{'-'.join(map(str, depths))}",
        # Published networks end in a single window.
        image_size=(patch[-1] << len(depths) - 1) * windows[-1],
        channels=patch[0],
        depths=tuple(depths),
        heads=tuple(heads),
        windows=tuple(windows),
        version=version,
        pretrained_windows=tuple(trained) if any(trained) else (),
        patch_size=patch[-1],
        mlp_ratio=hidden / patch[0],
    )


def _speaks(dialect: Dialect, tensors: Stored) -> bool:
    marks = ("stages.1.patch_merging.reduction.weight", "stages.0.blocks.0.attention.qkv.weight")
    return all(set(dialect.sources(mark, tensors)) <= tensors.keys() for mark in marks)


def _behind(prefix: str, stored: Stored) -> Stored:
    return {n.removeprefix(prefix): t for n, t in stored.items() if n.startswith(prefix)}


def _has(found: Recognised, canonical: str) -> bool:
    return found.dialect.sources(canonical, found.tensors)[0] in found.tensors


def _shape(found: Recognised, canonical: str) -> tuple[int, ...]:
    name = found.dialect.sources(canonical, found.tensors)[0]
    if name not in found.tensors:
        raise CheckpointError(f"a Swin in {found.dialect.name}'s layout without its {name}")
    shape = found.tensors[name].shape
    if len(shape) < (1 if name.endswith("logit_scale") else 2) or 0 in shape:
        raise CheckpointError(f"{name} has shape {list(shape)}, which no Swin has")
    return shape


def _count(found: Recognised, stage: int) -> int:
    """Blocks in a stage."""
    block = 0
    while _has(found, f"stages.{stage}.blocks.{block}.norm1.weight"):
        block += 1
    return block


def _coordinates(found: Recognised, attention: str) -> tuple[int, int]:
    """Window and window of training, if other, that V2's table of offsets was made for; else 0."""
    name = found.dialect.sources(f"{attention}.relative_coords_table", found.tensors)[0]
    if name not in found.tensors:
        return 0, 0
    # [1, 2M - 1, 2M - 1, 2] with log2(8 (M - 1) / (trained - 1) + 1) / 3 in the last corner
    table = found.tensors[name].read()
    window = (table.shape[1] + 1) // 2
    reach = 2 ** (3 * float(table.max())) - 1
    trained = round(1 + 8 * (window - 1) / reach) if reach else window
    return window, 0 if trained == window else trained
