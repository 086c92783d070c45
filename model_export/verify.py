"""Does the artifact compute what the network it was made from computes?

The reference is a second implementation, in float64 NumPy, that shares nothing with `swin` and
`windows`: it normalises pixels, keeps the feature map as an image, rolls and cuts it, adds every
bias, and takes the mean. What the exporter folds, reorders or leaves out, it does the plain way.
"""

import math
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime

from model_export.catalog import Architecture, Entry
from model_export.checkpoints.canonical import Checkpoint, Tensors
from model_export.errors import VerificationError
from model_export.model_card import EMBEDDING, PIXELS, Preprocessing, Verification

Array = npt.NDArray[np.float64]
Pixels = npt.NDArray[np.uint8]

IMAGES = 2
FLOOR = 1e-5
"""Largest difference allowed, relative to the embedding's largest value (float32 arithmetic)."""


def verify(path: Path, entry: Entry, checkpoint: Checkpoint) -> Verification:
    """Compare the artifact in onnxruntime with the reference, on fresh random pixels.

    Raises:
        VerificationError: They differ by more than `FLOOR`.
    """
    side = entry.architecture.image_size
    pixels = np.random.default_rng().integers(0, 256, (IMAGES, side, side, 3), dtype=np.uint8)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    computed: Array = session.run([EMBEDDING], {PIXELS: pixels})[0].astype(np.float64)
    del session  # its copy of the weights is as large as ours
    expected = reference(pixels, checkpoint.tensors, entry.architecture, entry.preprocessing)
    difference = float(np.abs(computed - expected).max() / np.abs(expected).max())
    cosines = (computed * expected).sum(axis=1) / (
        np.linalg.norm(computed, axis=1) * np.linalg.norm(expected, axis=1)
    )
    # Written so that NaN fails.
    if not difference <= FLOOR:
        raise VerificationError(
            f"the artifact differs from the reference by {difference:.1e} of the embedding's "
            f"largest value, more than {FLOOR:.0e}; it was not kept"
        )
    return Verification(
        reference="float64 NumPy",
        images=IMAGES,
        max_relative_difference=difference,
        mean_cosine=float(cosines.mean()),
        worst_cosine=float(cosines.min()),
    )


def reference(
    pixels: Pixels, tensors: Tensors, architecture: Architecture, preprocessing: Preprocessing
) -> Array:
    """Embeddings of uint8 pixels [n, H, W, 3], float64 [n, embedding_dim], one image at a time."""
    images = (pixels / 255 - np.array(preprocessing.mean)) / np.array(preprocessing.std)
    return np.stack([_embed(image, tensors, architecture) for image in images])


def _embed(image: Array, tensors: Tensors, architecture: Architecture) -> Array:
    patch, side = architecture.patch_size, architecture.stage_side(0)
    # [H, W, 3] -> [side, side, 3, P, P]
    patches = image.reshape(side, patch, side, patch, 3).transpose(0, 2, 4, 1, 3)
    weight = tensors["linear_embedding.weight"].astype(np.float64)
    x = np.tensordot(patches, weight, axes=([2, 3, 4], [1, 2, 3]))
    x = _layer_norm(x + tensors["linear_embedding.bias"], tensors, "linear_embedding.norm")
    for stage, depth in enumerate(architecture.depths):
        if stage:
            x = _merge(x, tensors, f"stages.{stage}.patch_merging")
        window, heads = min(architecture.window, len(x)), architecture.heads[stage]
        for block in range(depth):
            shift = window // 2 if block % 2 and window < len(x) else 0
            x = _block(x, tensors, f"stages.{stage}.blocks.{block}", heads, window, shift)
    embedding: Array = _layer_norm(x, tensors, "norm").mean(axis=(0, 1))
    return embedding


def _block(x: Array, tensors: Tensors, name: str, heads: int, window: int, shift: int) -> Array:
    """One block on a feature map [side, side, C]."""
    side, width = len(x), x.shape[-1]
    cells = side // window
    y = _layer_norm(x, tensors, f"{name}.norm1")
    y = np.roll(y, (-shift, -shift), axis=(0, 1))
    # [side, side, C] -> [W, N, C]
    y = y.reshape(cells, window, cells, window, width).swapaxes(1, 2)
    y = y.reshape(cells * cells, window * window, width)
    y = _attention(y, tensors, f"{name}.attention", heads, _mask(side, window, shift))
    y = y.reshape(cells, cells, window, window, width).swapaxes(1, 2).reshape(side, side, width)
    x = x + np.roll(y, (shift, shift), axis=(0, 1))
    y = _layer_norm(x, tensors, f"{name}.norm2")
    return x + _linear(_gelu(_linear(y, tensors, f"{name}.mlp.fc1")), tensors, f"{name}.mlp.fc2")


def _attention(x: Array, tensors: Tensors, name: str, heads: int, mask: Array) -> Array:
    """Attention within windows [W, N, C], `mask` [W, N, N] added to every head's scores."""
    count, tokens, width = x.shape
    # [W, N, 3 C] -> three of [W, h, N, d]
    qkv = _linear(x, tensors, f"{name}.qkv").reshape(count, tokens, 3, heads, width // heads)
    query, key, value = qkv.transpose(2, 0, 3, 1, 4)
    scores = query @ key.swapaxes(-1, -2) / math.sqrt(width // heads)
    scores += _position_bias(tensors[f"{name}.relative_position_bias_table"], tokens)
    scores += mask[:, None]
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    weights /= weights.sum(axis=-1, keepdims=True)
    # [W, h, N, d] -> [W, N, C]
    attended = (weights @ value).swapaxes(1, 2).reshape(count, tokens, width)
    return _linear(attended, tensors, f"{name}.projection")


def _position_bias(table: npt.NDArray[np.float32], tokens: int) -> Array:
    """Bias [h, N, N] of every pair of tokens, from a table [(2M - 1)^2, h] of their offsets."""
    window = math.isqrt(tokens)
    span = 2 * window - 1
    offsets = table.astype(np.float64).reshape(span, span, -1)
    bias = np.empty((offsets.shape[-1], tokens, tokens))
    for query in range(tokens):
        row, column = divmod(query, window)
        # Keys from (0, 0) to (M - 1, M - 1) lie at offsets from (row, column) downwards.
        rows, columns = np.arange(row, row - window, -1), np.arange(column, column - window, -1)
        of_keys = offsets[np.ix_(rows + window - 1, columns + window - 1)]
        bias[:, query] = of_keys.reshape(tokens, -1).T
    return bias


def _mask(side: int, window: int, shift: int) -> Array:
    """-100 for pairs that the cyclic shift brought together from opposite edges, [W, N, N]."""
    cells = side // window
    came_round = np.arange(side) >= side - shift if shift else np.zeros(side, bool)
    region = 2 * came_round[:, None] + came_round[None, :]
    region = region.reshape(cells, window, cells, window).swapaxes(1, 2)
    region = region.reshape(cells * cells, window * window)
    return np.where(region[:, :, None] == region[:, None, :], 0.0, -100.0)


def _merge(x: Array, tensors: Tensors, name: str) -> Array:
    """[side, side, C] -> [side / 2, side / 2, 2 C]."""
    corners = (x[0::2, 0::2], x[1::2, 0::2], x[0::2, 1::2], x[1::2, 1::2])
    y = _layer_norm(np.concatenate(corners, axis=-1), tensors, f"{name}.norm")
    return y @ tensors[f"{name}.reduction.weight"].T.astype(np.float64)


def _linear(x: Array, tensors: Tensors, name: str) -> Array:
    return x @ tensors[f"{name}.weight"].T.astype(np.float64) + tensors[f"{name}.bias"]


def _layer_norm(x: Array, tensors: Tensors, name: str) -> Array:
    centred = x - x.mean(axis=-1, keepdims=True)
    normal = centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-5)
    scaled: Array = normal * tensors[f"{name}.weight"] + tensors[f"{name}.bias"]
    return scaled


_erf = np.frompyfunc(math.erf, 1, 1)


def _gelu(x: Array) -> Array:
    erf = np.asarray(_erf(x / math.sqrt(2)), np.float64)
    return x * (1 + erf) / 2
