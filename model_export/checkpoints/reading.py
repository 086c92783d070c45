"""A checkpoint, from whatever file, to an entry and tensors in canonical form.

Or to a list of everything that is wrong with it.
"""

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from model_export.catalog import Entry
from model_export.checkpoints.configuration import beside
from model_export.checkpoints.formats.files import Opened, open_checkpoint
from model_export.checkpoints.formats.stored import FLOATS, Stored
from model_export.checkpoints.identification import identify
from model_export.checkpoints.recognition import Recognised, recognise
from model_export.errors import CheckpointError
from model_export.model_card import Weights
from model_export.network.parameters import Checkpoint, Shapes, Tensor, shapes

Sources = Mapping[str, tuple[str | None, ...]]
"""For every canonical tensor those of the file that make it."""

HEADS = ("head.fc", "head", "classifier", "fc")
"""What a classifier is called in one dialect or another."""

BUFFERS = ("relative_position_index", "relative_coords_table", "attn_mask", "k_bias")
"""Last components of names whose values the geometry determines; files have them or not."""

SOME = 8
"""How many names of a kind an error lists."""

ABSOLUTE_POSITIONS = "absolute_pos_embed"
"""A tensor that would change what the network computes, beside the parts of the dialects."""


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
    try:
        found = recognise(opened.tensors)
    except CheckpointError as error:
        raise CheckpointError(f"{opened.path} {error}") from error
    entry = identify(found, beside(opened.path), opened.path, asked)
    return entry, _checkpoint(opened, found, entry)


def _checkpoint(opened: Opened, found: Recognised, entry: Entry) -> Checkpoint:
    architecture = entry.architecture
    expected = shapes(architecture)
    sources = {name: found.dialect.sources(name, found.tensors) for name in expected}
    for name in [n for n in sources if n.endswith(".qkv.bias")]:
        if not found.tensors.keys() & sources[name]:
            sources[name] = (None,) * 3  # trained without
    used = {name for parts in sources.values() for name in parts}
    rest = [name for name in found.tensors if name not in used]
    derived = [name for name in rest if name.rpartition(".")[2] in BUFFERS]
    network = found.dialect.roots() | {ABSOLUTE_POSITIONS}
    unexpected = [
        name
        for name in rest
        if name.partition(".")[0] in network and not name.endswith((*BUFFERS, "mask_token"))
    ]
    if faults := _faults(found.tensors, sources, expected, unexpected):
        raise CheckpointError(f"{opened.path} is not a {architecture.name}: {'; '.join(faults)}")
    tensors = {
        name: _assembled(sources[name], found.tensors, name, shape, architecture.version)
        for name, shape in expected.items()
    }
    head = _classifier(opened.tensors, found, architecture.embedding_dim)
    for part in ("weight", "bias"):
        if head is not None and f"{head}.{part}" in opened.tensors:
            tensors[f"head.{part}"] = opened.tensors[f"{head}.{part}"].read()
    others = [found.prefix + name for name in rest if name not in derived] + [*found.others]
    others = [name for name in others if head is None or name.rpartition(".")[0] != head]
    notes = [
        f"recognised {architecture.name} in {found.dialect.name}'s layout"
        + (f" behind '{found.prefix}'" if found.prefix else ""),
        *opened.notes,
    ]
    if derived:
        notes.append(f"left out {len(derived)} buffers that the geometry determines")
    if others:
        some = ", ".join(sorted(others)[:3]) + (", ..." if len(others) > 3 else "")
        notes.append(f"left out {len(others)} tensors that are not the network's: {some}")
    source = opened.metadata.get("source", opened.path.name)
    weights = Weights(source=source, sha256=opened.sha256)
    licence = opened.metadata.get("licence")
    return Checkpoint(tensors, weights, pretrained=True, notes=tuple(notes), licence=licence)


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
        if _flat(name, found[name].shape) != _flat(name, shape_of[name])
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


def _flat(name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape, but of logit scales, which files hold as [h, 1, 1], only the number of values."""
    return (math.prod(shape),) if name.endswith("logit_scale") else shape


def _some(names: list[str]) -> str:
    return ", ".join(names[:SOME]) + (f" and {len(names) - SOME} more" if len(names) > SOME else "")


def _assembled(
    parts: tuple[str | None, ...], found: Stored, name: str, shape: tuple[int, ...], version: int
) -> Tensor:
    """A canonical tensor, from those of the file one after the other; None is zeros."""
    third = (shape[0] // len(parts), *shape[1:])
    arrays = [np.zeros(third, np.float32) if p is None else found[p].read() for p in parts]
    tensor = arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
    if version == 2 and name.endswith(".qkv.bias"):
        np.split(tensor, 3)[1][:] = 0  # torchvision keeps a bias for keys and does not add it
    return tensor.reshape(shape)


def _classifier(tensors: Stored, found: Recognised, width: int) -> str | None:
    """Name of the linear layer that takes embeddings, in the network or around it; None if none."""
    around = found.prefix[: found.prefix.rstrip(".").rfind(".") + 1]
    for name in (start + head for start in (found.prefix, around) for head in HEADS):
        weight = tensors.get(f"{name}.weight")
        if weight is not None and weight.shape[1:] == (width,) and weight.dtype in FLOATS:
            return name
    return None
