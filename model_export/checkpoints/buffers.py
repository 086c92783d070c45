"""Tensors in a file that follow from the geometry: not needed, but they must not contradict it.

They are checked for two reasons: they can tell that a network was made for other images or windows
than it is taken for, and a file that has lost some of its tensors shows it.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from model_export.checkpoints.formats.stored import TYPES
from model_export.checkpoints.recognition import Recognised
from model_export.network import windows
from model_export.network.architecture import MASK_VALUE, Architecture

Expected = npt.NDArray[np.generic]

TOLERANCE = 0.01
"""Files in half precision hold coordinates up to 0.002 off; those of other windows are 0.03 off."""


def faults(found: Recognised, architecture: Architecture) -> tuple[list[str], set[str]]:
    """What is wrong with the buffers of a file, and the names of those that it has."""
    wrong: list[str] = []
    present: set[str] = set()
    for kind, expected in KINDS.items():
        blocks = {
            str(found.sources(f"stages.{stage}.blocks.{block}.{kind}")[0]): (stage, block)
            for stage, depth in enumerate(architecture.depths)
            for block in range(depth)
            if kind != "attn_mask" or architecture.shift(stage, block)
        }
        there = blocks.keys() & found.tensors.keys()
        present |= there
        if there and (missing := sorted(blocks.keys() - there)):
            wrong.append(f"missing {', '.join(missing[:3])}, which the other blocks have")
        for name in sorted(there):
            wrong += _contradiction(found, name, expected(architecture, *blocks[name]), kind)
    return wrong, present


def _contradiction(found: Recognised, name: str, expected: Expected, kind: str) -> list[str]:
    tensor = found.tensors[name]
    if kind == INDEX and found.dialect.flat_index:
        expected = expected.reshape(-1)
    if tensor.shape != expected.shape:
        return [
            f"{name} has shape {list(tensor.shape)}, not {list(expected.shape)}: "
            "made for other windows or images of another size"
        ]
    if tensor.dtype not in TYPES:
        return [f"{name} holds {tensor.dtype}"]
    if kind == INDEX and found.dialect.makes_index:
        return []
    if not np.allclose(tensor.read(), expected, rtol=0, atol=TOLERANCE):
        return [
            f"{name} has other values than a Swin's, so the network computes something else; "
            "remove it from the file if that is a mistake"
        ]
    return []


def _index(architecture: Architecture, stage: int, _block: int) -> Expected:
    return windows.relative_position_index(architecture.stage_window(stage))


def _coordinates(architecture: Architecture, stage: int, _block: int) -> Expected:
    window = architecture.stage_window(stage)
    offsets = windows.log_spaced_offsets(window, architecture.bias_window(stage))
    return offsets.reshape(1, 2 * window - 1, 2 * window - 1, 2)


def _mask(architecture: Architecture, stage: int, block: int) -> Expected:
    side, window = architecture.stage_side(stage), architecture.stage_window(stage)
    shift = architecture.shift(stage, block)
    return windows.attention_mask(side, side, window, shift, MASK_VALUE)


def _no_bias(architecture: Architecture, stage: int, _block: int) -> Expected:
    return np.zeros(architecture.stage_channels(stage))


INDEX = "attention.relative_position_index"

KINDS: dict[str, Callable[[Architecture, int, int], Expected]] = {
    INDEX: _index,
    "attention.relative_coords_table": _coordinates,
    "attention.k_bias": _no_bias,
    "attn_mask": _mask,
}
"""Buffers of a block by their canonical names, and what they hold."""
