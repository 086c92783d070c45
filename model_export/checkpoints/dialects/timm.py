"""The names of timm since 0.9, when patch merging moved to the start of its stage."""

from model_export.checkpoints.dialects.dialect import Dialect, in_blocks

IN_BLOCK = {
    "norm1": "norm1",
    "attention": "attn",
    "attention.projection": "attn.proj",
    "attention.position_mlp.fc1": "attn.cpb_mlp.0",
    "attention.position_mlp.fc2": "attn.cpb_mlp.2",
    "norm2": "norm2",
    "mlp": "mlp",
}

TIMM = Dialect(
    name="timm",
    parts={
        "linear_embedding": "patch_embed.proj",
        "linear_embedding.norm": "patch_embed.norm",
        "stages.{stage}.patch_merging": "layers.{stage}.downsample",
        **in_blocks("layers.{stage}.blocks.{block}", IN_BLOCK),
        "norm": "norm",
    },
    split={2: {"qkv.bias": ("q_bias", None, "v_bias")}},
    stage_norms="norm{stage}",
)
