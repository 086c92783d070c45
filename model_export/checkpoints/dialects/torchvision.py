"""The names of torchvision: stages and patch mergings take turns in one list of features."""

from model_export.checkpoints.dialects.dialect import Dialect, in_blocks

TORCHVISION = Dialect(
    name="torchvision",
    parts={
        "linear_embedding": "features.0.0",
        "linear_embedding.norm": "features.0.2",
        "stages.{stage}.patch_merging": "features.{even}",
        **in_blocks(
            "features.{odd}.{block}",
            {
                "norm1": "norm1",
                "attention": "attn",
                "attention.projection": "attn.proj",
                "attention.position_mlp.fc1": "attn.cpb_mlp.0",
                "attention.position_mlp.fc2": "attn.cpb_mlp.2",
                "norm2": "norm2",
                "mlp.fc1": "mlp.0",
                "mlp.fc2": "mlp.3",
            },
        ),
        "norm": "norm",
    },
    flat_index=True,
)
