"""OpenMMLab's names (mmpretrain, mmdetection, mmsegmentation); its patch merging unfolds."""

from dataclasses import replace

from model_export.checkpoints.dialects.dialect import BLOCK, Dialect, in_blocks

OPENMMLAB = Dialect(
    name="OpenMMLab",
    parts={
        "linear_embedding": "patch_embed.projection",
        "linear_embedding.norm": "patch_embed.norm",
        "stages.{stage}.patch_merging": "stages.{before}.downsample",
        **in_blocks(
            BLOCK,
            {
                "norm1": "norm1",
                "attn_mask": "attn.attn_mask",
                "attention": "attn.w_msa",
                "attention.projection": "attn.w_msa.proj",
                "attention.position_mlp.fc1": "attn.w_msa.cpb_mlp.0",
                "attention.position_mlp.fc2": "attn.w_msa.cpb_mlp.2",
                "norm2": "norm2",
                "mlp.fc1": "ffn.layers.0.0",
                "mlp.fc2": "ffn.layers.1",
            },
        ),
        "norm": "norm",
    },
    split={2: {"qkv.bias": ("q_bias", None, "v_bias")}},
    stage_norms="norm{stage}",
    unfolds=True,
)

OPENMMLAB_V2 = replace(
    OPENMMLAB,
    name="OpenMMLab (V2)",
    parts=OPENMMLAB.parts | {"stages.{stage}.patch_merging": "stages.{stage}.downsample"},
)
"""mmpretrain's V2 merges patches at the start of a stage."""
