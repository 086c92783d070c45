"""From what somebody typed to an artifact in a file: source, sizes, outputs and export joined."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from model_export.errors import ExportError
from model_export.export import FP32, Lowering, export, further_outputs
from model_export.model_card import ModelCard, Precision
from model_export.network.parameters import parameter_count
from model_export.resizing import resized
from model_export.source import find


class Made(NamedTuple):
    """An artifact: its card, its file, and how many parameters the network has."""

    card: ModelCard
    path: Path
    parameters: int


def make(
    name: str,
    output: Path | None = None,
    *,
    weights: str | None = None,
    precision: Precision = FP32.precision,
    calibration: Path | None = None,
    min_cosine: float | None = None,
    image_size: int | None = None,
    features: bool = False,
    logits: bool = False,
    tell: Callable[[str], object] = lambda note: None,
) -> Made:
    """Export a model to a verified artifact.

    Args:
        name: a published name, such as `swin_tiny_patch4_window7_224`, or a checkpoint to
            recognise: a file, a folder, `hf://ORG/REPOSITORY[@REVISION]`.
        output: the .onnx file; `models/NAME.onnx` if not given, `models/NAME.int8.onnx` in int8.
        weights: of a published name: `hub`, `random` (seeded, untrained), or a checkpoint.
        precision: of the arithmetic: `fp32`, `fp16` (for GPUs) or `int8` (for CPUs).
        calibration: a folder of images to take int8's ranges from and to measure on; without one
            images are made up.
        min_cosine: an artifact with an embedding further than this from fp32's is refused.
        image_size: side in pixels, if it is not to be the checkpoint's own.
        features: whether the artifact returns the stages' feature maps too.
        logits: whether it returns the classifier's scores too.
        tell: is told what was recognised, and what was left out.

    Raises:
        ExportError: it cannot be done; the message says what to do.
    """
    if precision == "fp32":
        for option, value in {"calibration": calibration, "min-cosine": min_cosine}.items():
            if value is not None:
                raise ExportError(
                    f"--{option} is for --precision int8 and fp16; fp32 is compared exactly"
                )
    name, entry, checkpoint = find(name, weights)
    if image_size not in (None, entry.architecture.image_size):
        entry, checkpoint = resized(entry, checkpoint, image_size)
        name = f"{name}_at_{image_size}"  # its vectors do not compare
    parameters = parameter_count(entry.architecture)
    tell(f"exporting {parameters / 1e6:.1f} M parameters, about {estimate_s(parameters)} s")
    outputs = further_outputs(entry.architecture, checkpoint, features=features, logits=logits)
    for note in checkpoint.notes:
        tell(note)
    if "head.weight" in checkpoint.tensors and not logits:
        classes = len(checkpoint.tensors["head.weight"])
        tell(f"left out the classifier of {classes} classes; --logits keeps it")
    # No precision replaces another.
    suffix = ".onnx" if precision == "fp32" else f".{precision}.onnx"
    path = output or Path("models") / f"{name}{suffix}"
    floor = FP32.min_cosine if min_cosine is None else min_cosine
    lowering = Lowering(precision, calibration, floor)
    card = export(entry, checkpoint, path, name, outputs, lowering)
    return Made(card, path, parameters)


def estimate_s(parameters: int) -> int:
    """Seconds that an export takes on two idle cores: 31 of their time for 27.5 M parameters, 5 for
    2.3 M; int8 a little more."""
    return 3 + round(parameters / 1e6)
