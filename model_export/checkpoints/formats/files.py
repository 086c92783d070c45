"""From a path, a file or a folder, to the tensors of a checkpoint, whatever the file's format."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from model_export.checkpoints.formats import safetensors_file, torch_file
from model_export.checkpoints.formats.stored import Stored
from model_export.errors import CheckpointError

NAMES = (
    *("model.safetensors", "model.safetensors.index.json"),
    *("pytorch_model.bin", "pytorch_model.bin.index.json"),
)
"""What transformers and timm call the weights in a folder; the first that is there is taken."""

SUFFIXES = (".safetensors", ".bin", ".pth", ".pt")


@dataclass(frozen=True)
class Opened:
    """A checkpoint's files.

    Attributes:
        path: The file, or the index of the files.
        tensors: All of them, by the names in the files.
        sha256: Of the file, or of the files one after the other.
        notes: What there is to say about them.
        metadata: What a safetensors file's header says of itself, for example `source`.
    """

    path: Path
    tensors: Stored
    sha256: str
    notes: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)


def open_checkpoint(path: Path) -> Opened:
    """Read what a file or a folder says of its tensors; their values are read later.

    Raises:
        CheckpointError: There is no checkpoint, or none that can be read.
    """
    file = _in_folder(path) if path.is_dir() else path
    if not file.is_file():
        raise CheckpointError(
            f"{path}: no such file; weights are 'random', 'hub', hf://ORG/REPOSITORY, or a file"
        )
    if file.name.endswith(".json"):
        parts = safetensors_file.shards(file)
        notes = [f"{file.name} names {len(parts)} files of weights"]
    else:
        parts, notes = [file], []
    tensors: Stored = {}
    for part in parts:
        found, key = _tensors(part)
        tensors |= found
        if key:
            notes.append(f"took the weights under '{key}'")
    digest = hashlib.sha256()
    for part in parts:
        with part.open("rb") as content:
            while block := content.read(1 << 20):
                digest.update(block)
    said = safetensors_file.metadata(parts[0])
    return Opened(file, tensors, digest.hexdigest(), tuple(dict.fromkeys(notes)), said)


def _in_folder(folder: Path) -> Path:
    for name in NAMES:
        if (folder / name).is_file():
            return folder / name
    found = sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES)
    if len(found) == 1:
        return found[0]
    raise CheckpointError(
        f"{folder} holds {len(found) or 'no'} checkpoints "
        f"({', '.join(path.name for path in found) or ', '.join(NAMES)}); name the file"
    )


def _tensors(path: Path) -> tuple[Stored, str | None]:
    """The tensors of one file and the key they lay under, by its first bytes, not its name."""
    with path.open("rb") as file:
        start = file.read(9)
    if not start:
        raise CheckpointError(f"{path} is empty; download it again")
    if start[8:] == b"{":
        return safetensors_file.read(path), None
    if start.startswith((b"PK\x03\x04", b"\x80")):
        return torch_file.read(path)
    raise CheckpointError(
        f"{path} is neither a safetensors file nor one that torch.save wrote; "
        "give a .safetensors, .pth, .pt or .bin file of weights"
    )
