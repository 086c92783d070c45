"""From a path, a file or a folder, to the tensors of a checkpoint, whatever the file's format."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from model_export.checkpoints.formats import safetensors_file, torch_file
from model_export.checkpoints.formats.stored import Stored
from model_export.errors import CheckpointError

NAMES = (
    *("model.safetensors", "model.safetensors.index.json"),
    *("pytorch_model.bin", "pytorch_model.bin.index.json"),
)
"""What transformers and timm call the weights in a folder; the first that is there is taken."""

SUFFIXES = (".safetensors", ".bin", ".pth", ".pt", ".ckpt", ".pkl", ".tar")
"""Endings of checkpoints; `.tar` as in timm's model_best.pth.tar, which is no tar file."""

SHARD = re.compile(r"-(\d+)-of-(\d+)\.\w+$")
"""The end of a shard's name."""

ADAPTER = "adapter_config.json"
"""What peft writes beside an adapter; transformers would load it with the model."""

MERGE = (
    "merge it into its base first, with peft's merge_and_unload(), and save the model that returns"
)


@dataclass(frozen=True)
class Opened:
    """A checkpoint's files.

    Attributes:
        path: The file, or the index of the files.
        tensors: All of them, by the names in the files.
        sha256: Of the file, or of the files one after the other.
        size: Bytes of the files.
        notes: What the user should be told about them.
        metadata: What a safetensors file's header says of itself, for example `source`.
        settings: What lies in the file beside the weights, for example settings of a training run.
    """

    path: Path
    tensors: Stored
    sha256: str
    size: int
    notes: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)


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
    if (file.parent / ADAPTER).is_file():
        raise CheckpointError(f"{ADAPTER} lies beside {file}: an adapter (LoRA); {MERGE}")
    held: Mapping[Path, set[str]] = {}
    if file.name.endswith(".json"):
        held = safetensors_file.shards(file)
        parts = list(held)
        notes = [f"{file.name} names {len(parts)} files of weights"]
    else:
        parts, notes = [file], []
        if (shard := SHARD.search(file.name)) and int(shard[2]) > 1:
            raise CheckpointError(
                f"{file} is part {int(shard[1])} of {int(shard[2])} of a checkpoint; name the "
                "folder with all parts and their index, or the index"
            )
    tensors: Stored = {}
    metadata: dict[str, str] = {}
    settings: dict[str, Any] = {}
    for part in parts:
        found, key, said, beside = _read(part)
        if other := held and held[part] ^ found.keys():
            raise CheckpointError(
                f"{file.name} and {part.name} do not agree on {min(other)[:80]}; download both "
                "again"
            )
        if twice := tensors.keys() & found.keys():
            raise CheckpointError(f"{part} and another shard both hold {min(twice)[:80]}")
        tensors |= found
        metadata, settings = metadata or said, settings | beside
        if key:
            notes.append(f"took the weights under '{key}'")
    digest = hashlib.sha256()
    for part in parts:
        with part.open("rb") as content:
            while block := content.read(1 << 20):
                digest.update(block)
    return Opened(
        path=file,
        tensors=tensors,
        sha256=digest.hexdigest(),
        size=sum(part.stat().st_size for part in parts),
        notes=tuple(dict.fromkeys(notes)),
        metadata=metadata,
        settings=settings,
    )


def _in_folder(folder: Path) -> Path:
    for name in NAMES:
        if (folder / name).is_file():
            return folder / name
    found = sorted(f for f in folder.iterdir() if f.suffix in SUFFIXES and f.is_file())
    if len(found) == 1:
        return found[0]
    raise CheckpointError(
        f"{folder} holds {len(found) or 'no'} checkpoints "
        f"({', '.join(path.name for path in found[:8]) or ', '.join(NAMES)}); name the file"
    )


def _read(path: Path) -> tuple[Stored, str | None, dict[str, str], dict[str, Any]]:
    """Tensors of a file, what they lay under, what it says of itself, and what lies beside them.

    What kind of file it is, its first bytes say, not its name.
    """
    with path.open("rb") as file:
        start = file.read(9)
    if not start:
        raise CheckpointError(f"{path} is empty; download it again")
    if start[8:] == b"{":
        tensors, metadata = safetensors_file.read(path)
        return tensors, None, metadata, {}
    if start.startswith((b"PK\x03\x04", b"\x80")):
        found = torch_file.read(path)
        return found.tensors, found.key, {}, found.settings
    raise CheckpointError(
        f"{path} is neither a safetensors file nor one that torch.save wrote; "
        f"give a file of weights ({', '.join(SUFFIXES)})"
    )
