"""Finds the artifact for a model that was named: a file, or one that is made once and kept."""

import errno
import fcntl
import glob
import hashlib
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from model_export.catalog import BY_NAME
from service.errors import ArtifactError
from service.settings import default_home

DEFAULT = "swin_nano_patch4_window7_224"
"""The model whose weights come with the package."""

Precision = Literal["fp32", "fp16", "int8"]


def find(
    model: str | Path | None = None,
    *,
    weights: str | None = None,
    precision: Precision | None = None,
    home: Path | None = None,
    tell: Callable[[str], object] = lambda line: None,
) -> Path:
    """The artifact of a model, made and verified if it is not kept yet.

    Processes that ask for the same at once wait for the first of them.

    Args:
        model: an .onnx file; else a published name, such as `swin_tiny_patch4_window7_224`, or a
            checkpoint: a file, a folder, `hf://ORG/REPOSITORY[@REVISION]`. None is the default.
        weights: of a published name, where they are not its own: a checkpoint, or `random`.
        precision: of an artifact that is made; None is fp32.
        home: the folder of what is kept; None is `swin-embed` in the user's cache.
        tell: shows a message when an artifact is made, which takes seconds to minutes.

    Raises:
        ArtifactError: an .onnx file with a precision or weights to it; or `home` cannot be written.
        ExportError: it cannot be made; the message says what to do.
        ModuleNotFoundError: what exports is not installed.
    """
    asked = str(model or DEFAULT)
    if asked.lower().endswith(".onnx"):
        if precision or weights:
            raise ArtifactError(
                f"{asked} is made already: its precision and weights are what they are; to make "
                "another, name the model or its checkpoint"
            )
        return Path(asked)
    folder = (home or default_home()) / "models"
    kept = folder / f"{_key(asked, weights)}.{precision or 'fp32'}.onnx"
    if not kept.is_file():
        _make_writable(folder)
        with _alone(kept, tell):
            if not kept.is_file():
                _make(asked, kept, weights, precision or "fp32", tell)
    return kept


def _make_writable(folder: Path) -> None:
    """Have a folder there that can be written.

    Raises:
        ArtifactError: it cannot be.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise ArtifactError(
            f"the model cannot be kept in {folder} ({error.strerror}): set SWIN_HOME to a folder "
            "that can be written, or serve an .onnx file"
        ) from error


def _make(
    asked: str,
    kept: Path,
    weights: str | None,
    precision: Precision,
    tell: Callable[[str], object],
) -> None:
    from model_export.making import make

    tell(f"making {asked} in {precision}, once: the next start finds it in {kept.parent}")
    made = make(asked, kept, weights=weights, precision=precision, tell=tell)
    check = made.card.verification
    tell(f"verified against {check.reference}: worst cosine {check.worst_cosine:.6f}")


def _key(asked: str, weights: str | None) -> str:
    """The file name of a kept artifact: the model's name, and a digest of its source files."""
    parts = [asked] if weights is None else [asked, weights]
    entry = BY_NAME.get(asked)
    if entry is not None and entry.included is not None and weights is None:
        files = [entry.included]
    else:
        files = [file for part in parts for file in _files(Path(part))]
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as content:
            digest.update(file.name.encode() + hashlib.file_digest(content, "sha256").digest())
    names = [Path(part).name if Path(part).exists() else part for part in parts]
    mark = f"-{digest.hexdigest()[:12]}" if files else ""
    return re.sub(r"[^\w.@-]+", "_", "+".join(names)) + mark


def _files(path: Path) -> list[Path]:
    """The files of a checkpoint: the file and its configuration, or all files of a folder."""
    if path.is_dir():
        return sorted(file for file in path.iterdir() if file.is_file())
    return [path, *sorted(path.parent.glob("*config.json"))] if path.is_file() else []


@contextmanager
def _alone(kept: Path, tell: Callable[[str], object]) -> Iterator[None]:
    """Keep other processes from making the same artifact. A killed process loses its lock."""
    lock = os.open(kept.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            tell(f"another process is making {kept.stem}; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        for unfinished in kept.parent.glob(f".{glob.escape(kept.name)}.*.tmp"):
            unfinished.unlink()  # of a process that was killed
        yield
    finally:
        os.close(lock)
