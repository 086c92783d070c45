"""timm's names (since 0.9, when patch merging moved to the start of its stage)."""

import re

RENAMES = (
    (r"^linear_embedding\.norm\.", "patch_embed.norm."),
    (r"^linear_embedding\.", "patch_embed.proj."),
    (r"^stages\.", "layers."),
    (r"\.patch_merging\.", ".downsample."),
    (r"\.attention\.", ".attn."),
    (r"\.projection\.", ".proj."),
)

HEAD = re.compile(r"head\.")
"""The classifier: not part of an embedding."""

DERIVED = re.compile(r".*\.(relative_position_index|attn_mask)")
"""Buffers that older versions saved; the geometry determines them."""


def file_name(canonical: str) -> str:
    """What timm calls the tensor with a canonical name."""
    name = canonical
    for pattern, replacement in RENAMES:
        name = re.sub(pattern, replacement, name)
    return name
