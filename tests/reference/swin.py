"""Swin Transformer in NumPy, written for reading next to the paper (arXiv:2103.14030).

One image, one window, one head at a time, in float64. There is no cyclic shift and no mask here: a
shifted window is the set of tokens that lie in it, smaller at the image's edges, as in figure 2.
That the batched computation of section 3.2 comes to the same is for the tests to show.

Weights go by canonical names; a linear layer's weight is [out, in].
"""

import math

import numpy as np


def embed(pixels, weights, *, mean, std, patch, window, depths, heads):
    """uint8 pixels [H, W, 3] -> embedding [C of the last stage]."""
    image = (pixels / 255 - np.array(mean)) / np.array(std)
    x = linear_embedding(patch_partition(image, patch), part(weights, "linear_embedding"))
    for stage, depth in enumerate(depths):
        if stage > 0:
            x = patch_merging(x, part(weights, f"stages.{stage}.patch_merging"))
        for block in range(depth):
            # W-MSA and SW-MSA in turn, while there is more than one window to shift.
            shift = window // 2 if block % 2 == 1 and len(x) > window else 0
            of_block = part(weights, f"stages.{stage}.blocks.{block}")
            x = swin_block(x, of_block, heads[stage], window, shift)
    return layer_norm(x, part(weights, "norm")).mean(axis=(0, 1))


def patch_partition(image, patch):
    """Image [H, W, 3] -> patches [H / patch, W / patch, patch * patch * 3]."""
    height, width = image.shape[0] // patch, image.shape[1] // patch
    patches = np.empty((height, width, patch * patch * 3))
    for row in range(height):
        for column in range(width):
            top, left = row * patch, column * patch
            patches[row, column] = image[top : top + patch, left : left + patch].reshape(-1)
    return patches


def linear_embedding(patches, weights):
    """Patches [h, w, values] -> tokens [h, w, C]."""
    # [C, 3, P, P] -> [C, P * P * 3], the order of a patch's values
    projection = weights["weight"].transpose(0, 2, 3, 1).reshape(len(weights["weight"]), -1)
    return layer_norm(patches @ projection.T + weights["bias"], part(weights, "norm"))


def swin_block(x, weights, heads, window, shift):
    """Tokens [h, w, C] -> [h, w, C] (equation 3)."""
    normal = layer_norm(x, part(weights, "norm1"))
    attended = np.empty_like(normal)
    for rows, columns in windows(len(x), window, shift):
        tokens = normal[rows, columns]
        of_attention = part(weights, "attention")
        attended[rows, columns] = attention(tokens, rows, columns, of_attention, heads, window)
    x = x + attended
    return x + mlp(layer_norm(x, part(weights, "norm2")), part(weights, "mlp"))


def windows(side, window, shift):
    """Rows and columns of the tokens of every window of a side x side map.

    Window borders lie at `shift`, `shift + window`, ...; without a shift at 0, `window`, ...
    """
    members = {}
    for row in range(side):
        for column in range(side):
            place = (row - shift) // window, (column - shift) // window
            members.setdefault(place, []).append((row, column))
    return [tuple(np.array(tokens).T) for tokens in members.values()]


def attention(tokens, rows, columns, weights, heads, window):
    """Multi-head self-attention among the n tokens of one window: [n, C] -> [n, C]."""
    query, key, value = np.split(linear(tokens, part(weights, "qkv")), 3, axis=-1)
    table = weights["relative_position_bias_table"]
    size = tokens.shape[-1] // heads
    results = []
    for head in range(heads):
        of_head = slice(head * size, (head + 1) * size)
        bias = relative_position_bias(table[:, head], rows, columns, window)
        scores = attention_scores(query[:, of_head], key[:, of_head], bias)
        results.append(softmax(scores) @ value[:, of_head])
    return linear(np.concatenate(results, axis=-1), part(weights, "projection"))


def attention_scores(query, key, bias):
    """Queries and keys [n, d] -> scores [n, n]: q k^T / sqrt(d) + B (equation 4)."""
    return query @ key.T / math.sqrt(query.shape[-1]) + bias


def relative_position_bias(table, rows, columns, window):
    """One head's table [(2M - 1)^2] -> B [n, n], by the offset from each key to each query."""
    down = rows[:, None] - rows[None, :] + window - 1
    right = columns[:, None] - columns[None, :] + window - 1
    return table.reshape(2 * window - 1, 2 * window - 1)[down, right]


def patch_merging(x, weights):
    """Tokens [h, w, C] -> [h / 2, w / 2, 2 C]."""
    normal = layer_norm(concatenate_neighbours(x), part(weights, "norm"))
    return normal @ weights["reduction.weight"].T


def concatenate_neighbours(x):
    """Tokens [h, w, C] -> [h / 2, w / 2, 4 C]: top left, bottom left, top right, bottom right."""
    merged = np.empty((x.shape[0] // 2, x.shape[1] // 2, 4 * x.shape[2]))
    for row in range(merged.shape[0]):
        for column in range(merged.shape[1]):
            top, left = 2 * row, 2 * column
            group = [x[top, left], x[top + 1, left], x[top, left + 1], x[top + 1, left + 1]]
            merged[row, column] = np.concatenate(group)
    return merged


def mlp(x, weights):
    """[..., C] -> [..., C], by way of 4 C."""
    return linear(gelu(linear(x, part(weights, "fc1"))), part(weights, "fc2"))


def gelu(x):
    return x / 2 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


def softmax(scores):
    """Over the last axis."""
    exponentials = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def layer_norm(x, weights):
    """Over the last axis."""
    normal = (x - x.mean(axis=-1, keepdims=True)) / np.sqrt(x.var(axis=-1, keepdims=True) + 1e-5)
    return normal * weights["weight"] + weights["bias"]


def linear(x, weights):
    return x @ weights["weight"].T + weights["bias"]


def part(weights, name):
    """The weights of one part of the network, in float64, by their names within it."""
    start = f"{name}."
    of_part = {k: w for k, w in weights.items() if k.startswith(start)}
    return {k.removeprefix(start): w.astype(np.float64) for k, w in of_part.items()}
