"""A checkpoint file to canonical form, or a list of everything that is wrong with it."""

import hashlib
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from model_export.architecture import Architecture
from model_export.checkpoints import timm
from model_export.checkpoints.canonical import Checkpoint, Shapes, shapes
from model_export.errors import CheckpointError
from model_export.model_card import Weights

FLOATS = ("F16", "F32", "F64")


def read(path: Path, architecture: Architecture) -> Checkpoint:
    """Read a .safetensors file with timm's names.

    Raises:
        CheckpointError: Not a safetensors file, or not with exactly the architecture's tensors;
            every missing, unexpected and misshapen one is named, as the file would call it.
    """
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file; weights are 'random' or a .safetensors file")
    names = {timm.file_name(canonical): canonical for canonical in shapes(architecture)}
    try:
        with safe_open(path, framework="numpy") as file:
            found = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
            head = sorted(filter(timm.HEAD.match, found))
            rest = {n: s for n, s in found.items() if not timm.HEAD.match(n)}
            rest = {n: s for n, s in rest.items() if not timm.DERIVED.fullmatch(n)}
            wrong = _faults(
                {name: tuple(tensor.get_shape()) for name, tensor in rest.items()},
                {name: shapes(architecture)[canonical] for name, canonical in names.items()},
            )
            wrong += [
                f"{name} holds {tensor.get_dtype()}, not F16, F32 or F64"
                for name, tensor in rest.items()
                if tensor.get_dtype() not in FLOATS
            ]
            if wrong:
                raise CheckpointError(f"{path} is not a {architecture.name}: {'; '.join(wrong)}")
            tensors = {
                canonical: file.get_tensor(name).astype(np.float32, copy=False)
                for name, canonical in names.items()
            }
    except SafetensorError as error:
        raise CheckpointError(f"{path} is not a safetensors file: {error}") from error
    with path.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    notes = (f"left out the classifier head: {', '.join(head)}",) if head else ()
    return Checkpoint(tensors, Weights(source=path.name, sha256=digest), True, notes)


def _faults(found: Shapes, expected: Shapes) -> list[str]:
    """What keeps the tensors of a file from being the expected ones."""
    faults = []
    if missing := sorted(expected.keys() - found.keys()):
        faults.append(f"missing {', '.join(missing)}")
    if extra := sorted(found.keys() - expected.keys()):
        faults.append(f"unexpected {', '.join(extra)}")
    faults += [
        f"{name} has shape {list(shape)}, not {list(expected[name])}"
        for name, shape in found.items()
        if name in expected and shape != expected[name]
    ]
    return faults
