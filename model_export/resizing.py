"""A model for another image size than it was trained for, as timm's `set_input_size` makes it.

`create_model(img_size=)` is another thing: it keeps the windows.
"""

import math
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from model_export.catalog import Entry
from model_export.errors import CheckpointError
from model_export.network.parameters import Checkpoint, Tensor


def resized(entry: Entry, checkpoint: Checkpoint, image_size: int) -> tuple[Entry, Checkpoint]:
    """The model with windows that cover the same share of an image of another size.

    Of V1, bias tables are interpolated; V2 makes its bias for whatever window.

    Raises:
        CheckpointError: No whole number of windows covers the image.
    """
    old = entry.architecture
    if image_size == old.image_size:
        return entry, checkpoint
    new = replace(
        old,
        name=f"{old.name}_at_{image_size}",
        image_size=image_size,
        windows=tuple(max(1, m * image_size // old.image_size) for m in old.windows),
    )
    if faults := new.faults():
        raise CheckpointError(
            f"--image-size {image_size}: {'; '.join(faults)}; "
            f"multiples of {new.stage_stride(len(new.depths) - 1)} fit"
        )
    tensors = dict(checkpoint.tensors)
    if new.version == 1:
        for stage, depth in enumerate(new.depths):
            for block in range(depth):
                name = f"stages.{stage}.blocks.{block}.attention.relative_position_bias_table"
                tensors[name] = interpolated(tensors[name], new.stage_window(stage))
    stages = range(len(new.depths))
    windows = (f"{old.stage_window(s)} to {new.stage_window(s)}" for s in stages)
    note = f"made for images of {image_size}: windows from {', '.join(dict.fromkeys(windows))}" + (
        ", position bias tables interpolated as timm's set_input_size does"
        if new.version == 1
        else ""
    )
    # Published shares have two decimals; what is resized to is rounded down to whole pixels.
    share = round(entry.preprocessing.crop / entry.preprocessing.resize, 2)
    prepared = entry.preprocessing.model_copy(
        update={"resize": math.floor(image_size / share), "crop": image_size}
    )
    return (
        replace(entry, architecture=new, preprocessing=prepared),
        replace(checkpoint, tensors=tensors, notes=(*checkpoint.notes, note)),
    )


def interpolated(table: Tensor, window: int) -> Tensor:
    """A bias table [(2M - 1)^2, h] for another window, as timm's resize_rel_pos_bias_table.

    Old offsets are spread over the new window in steps that grow geometrically from 1 in the
    middle, so that near neighbours keep their biases; in between it is linear.
    """
    old, new = round(len(table) ** 0.5), 2 * window - 1
    if old == new:
        return table
    at = _spread(old, new)
    wanted = np.arange(-(new // 2), new // 2 + 1)
    weights = _linear_weights(at, wanted)
    grid = table.astype(np.float64).reshape(old, old, -1)
    # [new, old] x [old, old, h] x [old, new] -> [new, new, h]
    spread: Tensor = np.einsum("ai,ijh,bj->abh", weights, grid, weights).astype(np.float32)
    return spread.reshape(new * new, -1)


def _spread(old: int, new: int) -> npt.NDArray[np.float64]:
    """Where among new offsets the old ones come to stand: 0, +-1, +-(1 + q), ... [old]."""
    left, right, ratio = 1.01, 1.5, 1.01
    while right - left > 1e-6:
        ratio = (left + right) / 2
        if (1 - ratio ** (old // 2)) / (1 - ratio) > new // 2:
            right = ratio
        else:
            left = ratio
    steps = np.cumsum(ratio ** np.arange(old // 2))
    return np.concatenate([-steps[::-1], [0.0], steps])


def _linear_weights(
    at: npt.NDArray[np.float64], wanted: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """Share of each old offset in each new one, [new, old]; beyond the ends, the end's alone."""
    return np.stack([np.interp(wanted, at, row) for row in np.eye(len(at))], axis=1)
