"""Where tokens stand: window order, cyclic shift, relative positions, attention mask. Pure NumPy.

A stage's tokens are kept in *window order*: the first token of every window, then the second of
every window, and so on, with a window's tokens counted row by row. The batch comes after them, so
an activation is [tokens, B, C], or [N, W, B, C]: attention, which multiplies matrices [N, d] of
every window, image and head, can then read them where they lie, at one distance from row to row,
and onnxruntime copies nothing to put them side by side.
An order is an int64 array `[tokens]` that holds, for every place in the sequence, the raster index
(`row * width + column`) of the token standing there. LayerNorm, MLP and residuals do not care about
order, so only the places where it changes cost anything: one `Gather` each.

`M` is the window's side, `N = M * M` its tokens, `W` the number of windows.
"""

import numpy as np
import numpy.typing as npt

from model_export.network.architecture import MASK_VALUE

Order = npt.NDArray[np.int64]


def window_order(height: int, width: int, window: int, shift: int = 0) -> Order:
    """Window order of the feature map, cyclically shifted.

    Args:
        height: Rows of tokens, a multiple of `window`.
        width: Columns of tokens, a multiple of `window`.
        window: Side of a window, in tokens.
        shift: How far the map is rolled towards the top left before it is partitioned.

    Returns:
        Raster index of the token at each place, int64 `[height * width]`.
    """
    raster = np.arange(height * width).reshape(height, width)
    shifted = np.roll(raster, (-shift, -shift), axis=(0, 1))
    # [height, width] -> [height / M, M, width / M, M] -> [M, M, height / M, width / M]
    windows = shifted.reshape(height // window, window, width // window, window)
    return windows.transpose(1, 3, 0, 2).reshape(-1)


def places(order: Order) -> Order:
    """Where each token stands: for every raster index its place in `order`, int64 `[tokens]`."""
    inverse = np.empty_like(order)
    inverse[order] = np.arange(order.size)
    return inverse


def reordering(current: Order, wanted: Order) -> Order:
    """Index that gathers tokens standing in `current` order into `wanted` order, `[tokens]`."""
    return places(current)[wanted]


def merging_groups(height: int, width: int, current: Order, wanted: Order) -> Order:
    """Index that gathers tokens into the 2 x 2 groups that patch merging concatenates.

    Args:
        height: Rows of tokens before merging, even.
        width: Columns of tokens before merging, even.
        current: Order of the tokens before merging, `[height * width]`.
        wanted: Order of the merged tokens, `[height * width / 4]`.

    Returns:
        Place of each group's members, group after group, int64 `[height * width]`. Within a group:
        top left, bottom left, top right, bottom right, as in the paper's implementation.
    """
    raster = np.arange(height * width).reshape(height // 2, 2, width // 2, 2)
    # [height / 2, row, width / 2, column] -> [height / 2, width / 2, column, row]
    groups = raster.transpose(0, 2, 3, 1).reshape(-1, 4)
    return places(current)[groups[wanted]].reshape(-1)


def relative_position_index(window: int) -> npt.NDArray[np.int64]:
    """Row of the relative position bias table for every pair of tokens in a window.

    Offsets between two tokens lie in [-M + 1, M - 1] along each axis; the table has a row for each
    of the `(2M - 1) ** 2` pairs of offsets (paper, section 3.2, eq. 4).

    Returns:
        int64 `[N, N]`: query token, key token.
    """
    row, column = np.divmod(np.arange(window * window), window)
    rows = row[:, None] - row[None, :] + window - 1
    columns = column[:, None] - column[None, :] + window - 1
    index: npt.NDArray[np.int64] = rows * (2 * window - 1) + columns
    return index


def log_spaced_offsets(window: int, trained: int) -> npt.NDArray[np.float64]:
    """What V2 feeds the MLP that makes the position bias (arXiv:2111.09883, 3.4, eq. 4).

    Offsets are divided by the largest one in training, so that a model can be given other windows,
    spread to [-8, 8] and brought to a logarithmic scale, as in the paper's implementation.

    Args:
        window: `M`, side of the windows, in tokens.
        trained: Side of the windows that the MLP was trained with.

    Returns:
        float64 `[(2M - 1)^2, 2]`: row and column offsets, in the order of
        `relative_position_index`.
    """
    offsets = np.arange(-window + 1, window) * (8 / max(trained - 1, 1))
    logarithmic = np.sign(offsets) * np.log2(np.abs(offsets) + 1) / np.log2(8)
    pairs = np.meshgrid(logarithmic, logarithmic, indexing="ij")
    return np.stack(pairs, axis=-1).reshape(-1, 2)


def attention_mask(
    height: int, width: int, window: int, shift: int, value: float = MASK_VALUE
) -> npt.NDArray[np.float32]:
    """What SW-MSA adds to attention scores so that only neighbours in the image see each other.

    The cyclic shift brings tokens from opposite edges into one window; pairs of tokens from
    different sides of an edge get `value`, all others 0.

    Returns:
        float32 `[W, N, N]`: window, query token, key token.
    """
    row, column = np.divmod(window_order(height, width, window, shift), width)
    # Rows and columns below `shift` came round the edge; only the last windows hold any of them.
    region = (2 * (row < shift) + (column < shift)).reshape(window * window, -1).T
    apart = region[:, :, None] != region[:, None, :]
    return np.where(apart, np.float32(value), np.float32(0))
