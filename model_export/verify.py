"""Does the artifact compute what the network it was made from computes, in every output?"""

from pathlib import Path

import numpy as np
import onnxruntime

from model_export.catalog import Entry
from model_export.errors import VerificationError
from model_export.model_card import EMBEDDING, PIXELS, Verification
from model_export.network.parameters import Checkpoint
from model_export.network.reference import Array, reference
from model_export.precision.calibration import Pixels

IMAGES = 2
FLOOR = 1e-5
"""Largest difference allowed, relative to the embedding's largest value (float32 arithmetic)."""


def embeddings(path: Path, pixels: Pixels) -> Array:
    """What an artifact makes of images, uint8 [n, H, W, 3], one at a time: [n, embedding_dim]."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    rows = [session.run([EMBEDDING], {PIXELS: image[None]})[0] for image in pixels]
    return np.concatenate(rows).astype(np.float64)


def fidelity(lowered: Array, exact: Array, floor: float) -> Verification:
    """How near embeddings [n, embedding_dim] of a lower precision come to those of fp32.

    Raises:
        VerificationError: The cosine of some image's two embeddings is below `floor`.
    """
    between = cosines(lowered, exact)
    mean, worst = float(between.mean()), float(between.min())
    # Written so that NaN fails.
    if not worst >= floor:
        raise VerificationError(
            f"the worst of {len(between)} images has a cosine of {worst:.4f} to fp32 (mean "
            f"{mean:.4f}), less than --min-cosine {floor}; it was not kept: calibrate on images "
            "like yours (--calibration DIR), or stay with fp32"
        )
    return Verification(
        reference="fp32",
        images=len(between),
        max_relative_difference=float(np.abs(lowered - exact).max() / np.abs(exact).max()),
        mean_cosine=mean,
        worst_cosine=worst,
    )


def verify(path: Path, entry: Entry, checkpoint: Checkpoint) -> Verification:
    """Compare the artifact in onnxruntime with the reference, on random pixels.

    They are always the same, so that an artifact that is made again is the same file.

    Raises:
        VerificationError: They differ by more than `FLOOR`.
    """
    side = entry.architecture.image_size
    pixels = np.random.default_rng(0).integers(0, 256, (IMAGES, side, side, 3), dtype=np.uint8)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    arrays = session.run(names, {PIXELS: pixels})
    del session  # its copy of the weights is as large as ours
    expected = reference(pixels, checkpoint.tensors, entry.architecture, entry.preprocessing)
    differences = {}
    for name, array in zip(names, arrays, strict=True):
        largest = np.abs(expected[name]).max()
        differences[name] = float(np.abs(array - expected[name]).max() / largest)
        # Written so that NaN fails.
        if not differences[name] <= FLOOR:
            raise VerificationError(
                f"the artifact's {name} differs from the reference by {differences[name]:.1e} of "
                f"its largest value, more than {FLOOR:.0e}; it was not kept"
            )
    between = cosines(arrays[names.index(EMBEDDING)].astype(np.float64), expected[EMBEDDING])
    return Verification(
        reference="float64 NumPy",
        images=IMAGES,
        max_relative_difference=differences[EMBEDDING],
        mean_cosine=float(between.mean()),
        worst_cosine=float(between.min()),
    )


def cosines(left: Array, right: Array) -> Array:
    """Cosine of each row of [n, dim] with the other's: [n]."""
    lengths = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    between: Array = (left * right).sum(axis=1) / lengths
    return between
