"""A checkpoint, from whatever file, to an entry and tensors in canonical form.

Or to a list of everything that is wrong with it.
"""

import math
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from model_export.catalog import Entry
from model_export.checkpoints import buffers
from model_export.checkpoints.classifiers import PAIR, classifiers
from model_export.checkpoints.configuration import Configuration, beside
from model_export.checkpoints.formats.files import Opened, open_checkpoint
from model_export.checkpoints.formats.stored import FLOATS, Stored
from model_export.checkpoints.identification import identify
from model_export.checkpoints.recognition import Recognised, recognise
from model_export.errors import CheckpointError, printable
from model_export.model_card import Weights
from model_export.network.architecture import Architecture
from model_export.network.parameters import Checkpoint, Shapes, Tensor, shapes

Sources = Mapping[str, tuple[str | None, ...]]
"""For every canonical tensor those of the file that make it."""

SOME = 8
"""How many names of a kind an error lists."""

ADDED = re.compile(r"\w*(pos_embed|position_embed|prompt|token)\w*")
"""Tensors beside the parts of the dialects that would be added to the network's own tokens."""


def read(path: Path, asked: Entry | None = None) -> tuple[Entry, Checkpoint]:
    """Read a checkpoint: a file, or a folder with one and its configuration.

    Args:
        path: The file or folder.
        asked: What the file is said to be; recognised if not given.

    Returns:
        What to build, and its weights.

    Raises:
        CheckpointError: It holds no Swin Transformer, or not exactly the tensors of one; every
            missing, unexpected and misshapen one is named, as the file would call it.
    """
    opened = open_checkpoint(path)
    said = beside(opened.path, opened.settings)
    try:
        found = recognise(opened.tensors)
        entry = identify(found, said, opened.path, asked)
    except CheckpointError as error:
        raise CheckpointError(f"{opened.path}: {error}") from error
    return entry, _checkpoint(opened, found, entry, said)


def _checkpoint(opened: Opened, found: Recognised, entry: Entry, said: Configuration) -> Checkpoint:
    architecture = entry.architecture
    expected = shapes(architecture)
    sources = {name: found.sources(name) for name in expected}
    biases = [name for name in expected if name.endswith(".qkv.bias")]
    without_bias = not any(part in found.tensors for name in biases for part in sources[name])
    if without_bias:
        sources |= dict.fromkeys(biases, (None,) * 3)
    contradictions, determined = buffers.faults(found, architecture)
    used = {name for parts in sources.values() for name in parts} | determined
    rest = [name for name in found.tensors if name not in used]
    network = found.dialect.roots()
    norms = _stage_norms(found, architecture)
    misshapen = [name for name, shape in norms.items() if not _has(found.tensors, name, shape)]
    unexpected = [
        name
        for name in rest
        if (own := name.removeprefix(found.prefix)).partition(".")[0] in network
        or ADDED.fullmatch(own)
        if not name.endswith("mask_token")
        if name not in norms
    ]
    heads, half = classifiers(opened.tensors, found, architecture.embedding_dim)
    wrong = _faults(found.tensors, sources, expected, [*unexpected, *found.strays])
    wrong += contradictions
    for name in (*misshapen, *half):
        wrong.append(f"{name} is missing, or does not fit what it belongs to")
    if len(heads) > 1:
        wrong.append(f"{len(heads)} classifiers, {' and '.join(heads)}")
    if said.attention_bias is without_bias:
        wrong.append(
            f"{'no ' if without_bias else ''}bias of queries, keys and values, though its "
            f"configuration says qkv_bias {said.attention_bias}"
        )
    if wrong:
        raise CheckpointError(f"{opened.path} is not a {architecture.name}: {'; '.join(wrong)}")
    _within(opened, found, sources)
    tensors = {
        name: _assembled(sources[name], found, name, shape) for name, shape in expected.items()
    }
    for name in heads:
        for part in PAIR:
            tensors[f"head.{part}"] = opened.tensors[f"{name}.{part}"].read()
    _check_numbers(tensors, sources, opened.path)
    others = [*(name for name in rest if name not in norms), *found.others]
    others = [name for name in others if name.rpartition(".")[0] not in heads]
    notes = [
        f"recognised {architecture.name} in {found.dialect.name}'s layout"
        + (f" behind '{found.prefix}'" if found.prefix else ""),
        *opened.notes,
        *said.notes,
    ]
    if norms:
        norm = found.dialect.parts["norm"]
        shifted = "everywhere" if architecture.always_partition else "as for classification"
        notes.append(
            f"a backbone: the embedding takes {norm}, the LayerNorm of the last stage's feature "
            f"map; left out {len(norms) // 2} others; windows are shifted {shifted}"
        )
    if not architecture.final_norm:
        notes.append("a backbone without a final LayerNorm: the embedding has none either")
    if without_bias:
        notes.append("its attention has no biases for query, key and value")
    if determined:
        notes.append(f"left out {len(determined)} buffers that the geometry determines")
    if others:
        some = ", ".join(sorted(others)[:3]) + (", ..." if len(others) > 3 else "")
        notes.append(f"left out {len(others)} tensors that are not the network's: {some}")
    source = opened.metadata.get("source", opened.path.name)
    weights = Weights(source=source, sha256=opened.sha256)
    licence = opened.metadata.get("licence")
    told = tuple(map(printable, notes))
    return Checkpoint(tensors, weights, pretrained=True, notes=told, licence=licence)


def _faults(found: Stored, sources: Sources, expected: Shapes, unexpected: list[str]) -> list[str]:
    """What keeps the tensors of a file from being the expected ones."""
    shape_of = {
        name: (shape[0] // len(sources[canonical]), *shape[1:])
        for canonical, shape in expected.items()
        for name in sources[canonical]
        if name is not None
    }
    faults = []
    if missing := sorted(shape_of.keys() - found.keys()):
        faults.append(f"missing {_some(missing)}")
    if unexpected:
        faults.append(f"unexpected {_some(sorted(unexpected))}")
    present = [name for name in shape_of if name in found]
    misshapen = [
        f"{name} has shape {list(found[name].shape)}, not {list(shape_of[name])}"
        for name in present
        if not _fits(name, found[name].shape, shape_of[name])
    ]
    wrong = [
        f"{name} holds {found[name].dtype}, not one of {', '.join(FLOATS)}"
        for name in present
        if found[name].dtype not in FLOATS
    ]
    for kind in (misshapen, wrong):
        faults += kind[:SOME]
        if len(kind) > SOME:
            faults.append(f"and {len(kind) - SOME} more like that")
    return faults


def _fits(name: str, shape: tuple[int, ...], expected: tuple[int, ...]) -> bool:
    """Whether a shape is the expected one; files hold logit scales [h] as [h, 1, 1]."""
    return shape == ((*expected, 1, 1) if name.endswith("logit_scale") else expected)


def _has(found: Stored, name: str, shape: tuple[int, ...]) -> bool:
    return name in found and found[name].shape == shape and found[name].dtype in FLOATS


def _stage_norms(found: Recognised, architecture: Architecture) -> Shapes:
    """Tensors of the LayerNorms of a backbone's feature maps, but of the last: name and shape."""
    template = found.dialect.stage_norms
    if template is None or not found.backbone:
        return {}
    stages = range(len(architecture.depths) - 1)
    names = [
        (found.prefix + template.format(stage=stage, nth=stage + 1), (channels,))
        for stage, channels in enumerate(map(architecture.stage_channels, stages))
    ]
    there = [(n, shape) for n, shape in names if any(f"{n}.{p}" in found.tensors for p in PAIR)]
    return {f"{name}.{part}": shape for name, shape in there for part in PAIR}


def _some(names: list[str]) -> str:
    return ", ".join(names[:SOME]) + (f" and {len(names) - SOME} more" if len(names) > SOME else "")


def _within(opened: Opened, found: Recognised, sources: Sources) -> None:
    """Refuse weights of more bytes than their files: tensors that share their data.

    Raises:
        CheckpointError: They have more.
    """
    used = [found.tensors[n] for parts in sources.values() for n in parts if n is not None]
    size = sum(math.prod(tensor.shape) * BYTES[tensor.dtype] for tensor in used)
    if size > opened.size:
        raise CheckpointError(
            f"{opened.path} has {opened.size:,} bytes and says that its weights have {size:,}: "
            "tensors that share their data are refused; save each with a copy of its own"
        )


BYTES = {"F16": 2, "BF16": 2, "F32": 4, "F64": 8}


def _assembled(
    parts: tuple[str | None, ...], found: Recognised, name: str, shape: tuple[int, ...]
) -> Tensor:
    """A canonical tensor, from those of the file one after the other; None is zeros."""
    third = (shape[0] // len(parts), *shape[1:])
    tensors = found.tensors
    arrays = [np.zeros(third, np.float32) if p is None else tensors[p].read() for p in parts]
    tensor = arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
    if found.version == 2 and name.endswith(".qkv.bias"):
        np.split(tensor, 3)[1][:] = 0  # torchvision keeps a bias for keys and does not add it
    merges = name.endswith("patch_merging.reduction.weight") or (
        ".patch_merging.norm." in name and found.version == 1
    )
    if merges and found.dialect.unfolds:
        # [..., C, row, column] -> [..., column, row, C], as every other library concatenates
        tensor = tensor.reshape(*tensor.shape[:-1], -1, 2, 2)
        tensor = np.moveaxis(tensor, (-3, -2, -1), (-1, -2, -3))
    return tensor.reshape(shape)


def _check_numbers(tensors: Mapping[str, Tensor], sources: Sources, path: Path) -> None:
    """Refuse weights that are infinite or no numbers.

    Raises:
        CheckpointError: There are some.
    """
    for name, tensor in tensors.items():
        if not np.isfinite(tensor).all():
            count = int((~np.isfinite(tensor)).sum())
            theirs = ", ".join(filter(None, sources.get(name, (name,))))
            raise CheckpointError(
                f"{path}: {theirs} holds {count:,} values that are infinite or not numbers; "
                "take an earlier checkpoint of the training run"
            )
