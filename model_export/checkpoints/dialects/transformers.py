"""Hugging Face transformers' names: query, key and value apart, patch merging at a stage's end."""

from dataclasses import replace

from model_export.checkpoints.dialects.dialect import Dialect, in_blocks

IN_BLOCK = {
    "norm1": "layernorm_before",
    "attention": "attention.self",
    "attention.projection": "attention.output.dense",
    "attention.position_mlp.fc1": "attention.self.continuous_position_bias_mlp.0",
    "attention.position_mlp.fc2": "attention.self.continuous_position_bias_mlp.2",
    "norm2": "layernorm_after",
    "mlp.fc1": "intermediate.dense",
    "mlp.fc2": "output.dense",
}

BLOCK = "encoder.layers.{stage}.blocks.{block}"

TRANSFORMERS = Dialect(
    name="transformers",
    parts={
        "linear_embedding": "embeddings.patch_embeddings.projection",
        "linear_embedding.norm": "embeddings.norm",
        "stages.{stage}.patch_merging": "encoder.layers.{before}.downsample",
        **in_blocks(BLOCK, IN_BLOCK),
        "norm": "layernorm",
    },
    split={
        1: {
            "qkv.weight": ("query.weight", "key.weight", "value.weight"),
            "qkv.bias": ("query.bias", "key.bias", "value.bias"),
        },
        2: {
            "qkv.weight": ("query.weight", "key.weight", "value.weight"),
            "qkv.bias": ("query.bias", None, "value.bias"),
        },
    },
    stage_norms="hidden_states_norms.stage{nth}",
    # Its V2 adds the paper's mask twice (modeling_swinv2.py of 4.21 to 5.23).
    v2_mask_value=-200.0,
    makes_index=True,
)

IN_BLOCK_SINCE_5 = IN_BLOCK | {
    "attention": "attention",
    "attention.relative_position_bias_table": (
        "attention.relative_position_bias.relative_position_bias_table"
    ),
    "attention.relative_position_index": (
        "attention.relative_position_bias.relative_position_index"
    ),
    "attention.projection": "attention.o_proj",
    "mlp.fc1": "mlp.fc1",
    "mlp.fc2": "mlp.fc2",
}

TRANSFORMERS_IN_MEMORY = replace(
    TRANSFORMERS,
    name="transformers (a state_dict of 5.x)",
    parts=TRANSFORMERS.parts | in_blocks(BLOCK, IN_BLOCK_SINCE_5),
    split={
        1: {
            "qkv.weight": ("q_proj.weight", "k_proj.weight", "v_proj.weight"),
            "qkv.bias": ("q_proj.bias", "k_proj.bias", "v_proj.bias"),
        },
    },
)
"""What V1's modules are called in memory since 5.0; save_pretrained still writes the old names."""
