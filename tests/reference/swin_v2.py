"""Swin Transformer V2 in NumPy, written for reading next to its paper (arXiv:2111.09883).

What differs from V1 (`swin.py`, which says how to read this), and nothing else.
"""

import math

import numpy as np

from tests.reference.swin import (
    concatenate_neighbours,
    layer_norm,
    linear,
    linear_embedding,
    mlp,
    part,
    patch_partition,
    relative_position_bias,
    softmax,
    windows,
)


def embed(pixels, weights, *, mean, std, patch, window, trained, depths, heads):
    """uint8 pixels [H, W, 3] -> embedding [C of the last stage].

    `trained` is the window of every stage that the position bias was trained with.
    """
    image = (pixels / 255 - np.array(mean)) / np.array(std)
    x = linear_embedding(patch_partition(image, patch), part(weights, "linear_embedding"))
    for stage, depth in enumerate(depths):
        if stage > 0:
            x = patch_merging(x, part(weights, f"stages.{stage}.patch_merging"))
        here = min(window, len(x))
        for block in range(depth):
            shift = here // 2 if block % 2 == 1 and len(x) > here else 0
            of_block = part(weights, f"stages.{stage}.blocks.{block}")
            x = swin_block(x, of_block, heads[stage], here, shift, trained[stage])
    return layer_norm(x, part(weights, "norm")).mean(axis=(0, 1))


def swin_block(x, weights, heads, window, shift, trained):
    """Tokens [h, w, C] -> [h, w, C]: residual post-norm (section 3.2)."""
    attended = np.empty_like(x)
    for rows, columns in windows(len(x), window, shift):
        of_attention = part(weights, "attention")
        attended[rows, columns] = attention(
            x[rows, columns], rows, columns, of_attention, heads, window, trained
        )
    x = x + layer_norm(attended, part(weights, "norm1"))
    return x + layer_norm(mlp(x, part(weights, "mlp")), part(weights, "norm2"))


def attention(tokens, rows, columns, weights, heads, window, trained):
    """Scaled cosine attention among the n tokens of one window: [n, C] -> [n, C]."""
    query, key, value = np.split(linear(tokens, part(weights, "qkv")), 3, axis=-1)
    table = position_bias_table(part(weights, "position_mlp"), window, trained)
    size = tokens.shape[-1] // heads
    results = []
    for head in range(heads):
        of_head = slice(head * size, (head + 1) * size)
        bias = relative_position_bias(table[:, head], rows, columns, window)
        temperature = max(math.exp(-weights["logit_scale"][head]), 0.01)
        scores = cosine(query[:, of_head], key[:, of_head]) / temperature + bias
        results.append(softmax(scores) @ value[:, of_head])
    return linear(np.concatenate(results, axis=-1), part(weights, "projection"))


def cosine(query, key):
    """Queries and keys [n, d] -> cosines of their angles [n, n] (equation 2)."""
    lengths = np.linalg.norm(query, axis=1)[:, None] * np.linalg.norm(key, axis=1)[None, :]
    return query @ key.T / lengths


def position_bias_table(weights, window, trained):
    """Bias of every offset [(2M - 1)^2, h], from an MLP over log-spaced offsets (equation 4)."""
    offsets = [
        [log_spaced(down, trained), log_spaced(right, trained)]
        for down in range(1 - window, window)
        for right in range(1 - window, window)
    ]
    hidden = np.maximum(linear(np.array(offsets), part(weights, "fc1")), 0)
    return 16 / (1 + np.exp(-hidden @ weights["fc2.weight"].T))


def log_spaced(offset, trained):
    """sign(x) log(1 + |x|), of x in [-8, 8] for the windows of training, in units of log 8."""
    x = offset / (trained - 1) * 8
    return math.copysign(math.log(1 + abs(x)), x) / math.log(8)


def patch_merging(x, weights):
    """Tokens [h, w, C] -> [h / 2, w / 2, 2 C], normalised at the end."""
    reduced = concatenate_neighbours(x) @ weights["reduction.weight"].T
    return layer_norm(reduced, part(weights, "norm"))
