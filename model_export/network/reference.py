"""Swin Transformers, V1 and V2, in float64 NumPy: what an artifact is verified against.

A second implementation that shares nothing with the modules that write the graph: it normalises
pixels, keeps the feature map as an image, rolls and cuts it, adds every bias, and takes the mean.
What the exporter folds, reorders or leaves out, it does the plain way.
"""

import math

import numpy as np
import numpy.typing as npt

from model_export.model_card import EMBEDDING, LOGITS, Preprocessing, feature_map
from model_export.network.architecture import Architecture
from model_export.network.parameters import Tensors

Array = npt.NDArray[np.float64]
Pixels = npt.NDArray[np.uint8]


def reference(
    pixels: Pixels, tensors: Tensors, architecture: Architecture, preprocessing: Preprocessing
) -> dict[str, Array]:
    """All outputs an artifact may have, of uint8 pixels [n, H, W, 3], one image at a time.

    Returns:
        float64 by name: `embedding` [n, embedding_dim], the feature maps [n, C, side, side] and, if
        the tensors have a classifier, `logits` [n, classes].
    """
    images = (pixels / 255 - np.array(preprocessing.mean)) / np.array(preprocessing.std)
    outputs = [_outputs(image, tensors, architecture) for image in images]
    return {name: np.stack([output[name] for output in outputs]) for name in outputs[0]}


def _outputs(image: Array, tensors: Tensors, architecture: Architecture) -> dict[str, Array]:
    outputs = {}
    patch, side = architecture.patch_size, architecture.stage_side(0)
    # [H, W, 3] -> [side, side, 3, P, P]
    patches = image.reshape(side, patch, side, patch, 3).transpose(0, 2, 4, 1, 3)
    weight = tensors["linear_embedding.weight"].astype(np.float64)
    x = np.tensordot(patches, weight, axes=([2, 3, 4], [1, 2, 3]))
    x = _layer_norm(x + tensors["linear_embedding.bias"], tensors, "linear_embedding.norm")
    for stage, depth in enumerate(architecture.depths):
        if stage:
            x = _merge(x, tensors, f"stages.{stage}.patch_merging", architecture.version)
        for block in range(depth):
            x = _block(x, tensors, f"stages.{stage}.blocks.{block}", architecture, stage, block)
        outputs[feature_map(architecture.patch_size * 2**stage)] = x.transpose(2, 0, 1)
    if architecture.final_norm:
        x = _layer_norm(x, tensors, "norm")
    embedding: Array = x.mean(axis=(0, 1))
    outputs[EMBEDDING] = embedding
    if "head.weight" in tensors:
        logits = tensors["head.weight"].astype(np.float64) @ embedding
        outputs[LOGITS] = logits + tensors.get("head.bias", 0)
    return outputs


def _block(
    x: Array, tensors: Tensors, name: str, architecture: Architecture, stage: int, block: int
) -> Array:
    """One block on a feature map [side, side, C]."""
    window = min(architecture.windows[stage], len(x))
    one_window = window == len(x) and not architecture.always_partition
    shift = window // 2 if block % 2 and not one_window else 0

    def attention(y: Array) -> Array:
        return _shifted(y, tensors, f"{name}.attention", architecture, stage, shift)

    def mlp(y: Array) -> Array:
        return _linear(_gelu(_linear(y, tensors, f"{name}.mlp.fc1")), tensors, f"{name}.mlp.fc2")

    if architecture.version == 1:
        x = x + attention(_layer_norm(x, tensors, f"{name}.norm1"))
        return x + mlp(_layer_norm(x, tensors, f"{name}.norm2"))
    x = x + _layer_norm(attention(x), tensors, f"{name}.norm1")
    return x + _layer_norm(mlp(x), tensors, f"{name}.norm2")


def _shifted(
    x: Array, tensors: Tensors, name: str, architecture: Architecture, stage: int, shift: int
) -> Array:
    """Attention on a feature map [side, side, C]: rolled, cut into windows, put together again."""
    side, width = len(x), x.shape[-1]
    window = min(architecture.windows[stage], side)
    cells = side // window
    y = np.roll(x, (-shift, -shift), axis=(0, 1))
    # [side, side, C] -> [W, N, C]
    y = y.reshape(cells, window, cells, window, width).swapaxes(1, 2)
    y = y.reshape(cells * cells, window * window, width)
    mask = _mask(side, window, shift, architecture.mask_value)
    y = _attention(y, tensors, name, architecture, stage, mask)
    y = y.reshape(cells, cells, window, window, width).swapaxes(1, 2).reshape(side, side, width)
    return np.roll(y, (shift, shift), axis=(0, 1))


def _attention(
    x: Array, tensors: Tensors, name: str, architecture: Architecture, stage: int, mask: Array
) -> Array:
    """Attention within windows [W, N, C], `mask` [W, N, N] added to every head's scores."""
    count, tokens, width = x.shape
    heads = architecture.heads[stage]
    # [W, N, 3 C] -> three of [W, h, N, d]
    qkv = _linear(x, tensors, f"{name}.qkv").reshape(count, tokens, 3, heads, width // heads)
    query, key, value = qkv.transpose(2, 0, 3, 1, 4)
    if architecture.version == 1:
        scores = query @ key.swapaxes(-1, -2) / math.sqrt(width // heads)
        offsets = tensors[f"{name}.relative_position_bias_table"].astype(np.float64)
    else:
        scores = _unit(query) @ _unit(key).swapaxes(-1, -2)
        logit_scale = tensors[f"{name}.logit_scale"].astype(np.float64)
        scores *= np.exp(np.minimum(logit_scale, math.log(100)))[:, None, None]
        offsets = _continuous_bias(tensors, name, architecture, stage, math.isqrt(tokens))
    scores += _position_bias(offsets, tokens) + mask[:, None]
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    weights /= weights.sum(axis=-1, keepdims=True)
    # [W, h, N, d] -> [W, N, C]
    attended = (weights @ value).swapaxes(1, 2).reshape(count, tokens, width)
    return _linear(attended, tensors, f"{name}.projection")


def _unit(x: Array) -> Array:
    unit: Array = x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-12)
    return unit


def _continuous_bias(
    tensors: Tensors, name: str, architecture: Architecture, stage: int, window: int
) -> Array:
    """V2's bias [(2M - 1)^2, h] of every offset between two tokens, row offsets outermost."""
    trained = architecture.pretrained_windows[stage] if architecture.pretrained_windows else 0
    largest = max((trained or window) - 1, 1)
    offsets = [
        [math.copysign(math.log2(8 * abs(n) / largest + 1) / 3, n) for n in (row, column)]
        for row in range(1 - window, window)
        for column in range(1 - window, window)
    ]
    hidden = np.maximum(_linear(np.array(offsets), tensors, f"{name}.position_mlp.fc1"), 0)
    weight = tensors[f"{name}.position_mlp.fc2.weight"].astype(np.float64)
    bias: Array = 16 / (1 + np.exp(-hidden @ weight.T))
    return bias


def _position_bias(offsets: Array, tokens: int) -> Array:
    """Bias [h, N, N] of every pair of tokens, from the bias [(2M - 1)^2, h] of their offsets."""
    window = math.isqrt(tokens)
    span = 2 * window - 1
    offsets = offsets.reshape(span, span, -1)
    bias = np.empty((offsets.shape[-1], tokens, tokens))
    for query in range(tokens):
        row, column = divmod(query, window)
        # Keys from (0, 0) to (M - 1, M - 1) lie at offsets from (row, column) downwards.
        rows, columns = np.arange(row, row - window, -1), np.arange(column, column - window, -1)
        of_keys = offsets[np.ix_(rows + window - 1, columns + window - 1)]
        bias[:, query] = of_keys.reshape(tokens, -1).T
    return bias


def _mask(side: int, window: int, shift: int, value: float) -> Array:
    """`value` for pairs that the cyclic shift brought together from opposite edges, [W, N, N]."""
    cells = side // window
    came_round = np.arange(side) >= side - shift if shift else np.zeros(side, bool)
    region = 2 * came_round[:, None] + came_round[None, :]
    region = region.reshape(cells, window, cells, window).swapaxes(1, 2)
    region = region.reshape(cells * cells, window * window)
    return np.where(region[:, :, None] == region[:, None, :], 0.0, value)


def _merge(x: Array, tensors: Tensors, name: str, version: int) -> Array:
    """[side, side, C] -> [side / 2, side / 2, 2 C]."""
    corners = (x[0::2, 0::2], x[1::2, 0::2], x[0::2, 1::2], x[1::2, 1::2])
    merged = np.concatenate(corners, axis=-1)
    reduction = tensors[f"{name}.reduction.weight"].T.astype(np.float64)
    if version == 1:
        return _layer_norm(merged, tensors, f"{name}.norm") @ reduction
    return _layer_norm(merged @ reduction, tensors, f"{name}.norm")


def _linear(x: Array, tensors: Tensors, name: str) -> Array:
    return x @ tensors[f"{name}.weight"].T.astype(np.float64) + tensors[f"{name}.bias"]


def _layer_norm(x: Array, tensors: Tensors, name: str) -> Array:
    centred = x - x.mean(axis=-1, keepdims=True)
    normal = centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-5)
    scaled: Array = normal * tensors[f"{name}.weight"] + tensors[f"{name}.bias"]
    return scaled


GRID = 1024
"""Points to a unit at which erf and its slope are tabulated, from -6 to 6: beyond it is -1 or 1."""

POINTS = np.arange(-6 * GRID, 6 * GRID + 1) / GRID
ERF = np.array([math.erf(x) for x in POINTS])
SLOPE = 2 / math.sqrt(math.pi) * np.exp(-(POINTS**2))


BLOCK = 2**14
"""Numbers that GELU takes at a time: all that it makes of them stays in a core's cache."""


def _gelu(x: Array) -> Array:
    values = x.reshape(-1)
    made = np.empty_like(values)
    for start in range(0, values.size, BLOCK):
        part = values[start : start + BLOCK]
        made[start : start + BLOCK] = part * (1 + erf(part / math.sqrt(2))) / 2
    return made.reshape(x.shape)


def erf(x: Array) -> Array:
    """The error function, off by 1e-13 at most: NumPy has none, and math's takes a number a call.

    A Taylor series around the nearest point of a table, up to the third power.
    """
    x = np.clip(x, -6, 6)
    with np.errstate(invalid="ignore"):  # NaN stands at no point, and stays NaN
        place = np.rint(x * GRID).astype(np.int64)
    centre = place / GRID
    step = x - centre
    place += 6 * GRID
    series = step * (1 + step * (step * (2 * centre**2 - 1) / 3 - centre))
    near: Array = ERF.take(place, mode="clip") + SLOPE.take(place, mode="clip") * series
    return near
