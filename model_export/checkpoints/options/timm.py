"""timm's options: of its constructors, its configuration files and transformers' wrapper of it."""

from model_export.checkpoints.options.option import (
    CHECKED,
    HEAD,
    MEMORY,
    RECORD,
    TRAINING,
    Only,
    Options,
    Read,
    harmless,
)
from model_export.checkpoints.options.transformers import PRETRAINED_CONFIG

TIMM: Options = {
    "img_size": Read("image size; square, windows must fill it"),
    "patch_size": CHECKED,
    "in_chans": Only((3,)),
    "global_pool": Only(("avg",)),
    "embed_dim": CHECKED,
    "depths": CHECKED,
    "num_heads": CHECKED,
    "head_dim": Read("must be channels / heads"),
    "window_size": Read("of all stages or one for each; square"),
    "pretrained_window_sizes": Read("V2: scale of the position bias's coordinates"),
    "always_partition": Read("shifts windows even where one covers the map; padding is refused"),
    "mlp_ratio": CHECKED,
    "qkv_bias": CHECKED,
    "act_layer": Only(("gelu", "GELU", None)),
    "norm_layer": Only(("LayerNorm",)),
    "embed_layer": Only(("PatchEmbed",)),
    "ape": Only((False,)),
    "patch_norm": Only((True,)),
    "output_fmt": Only((None, "NHWC")),
    "features_only": Only((False,)),
    **harmless("the image size is fixed in the artifact", "strict_img_size", "dynamic_img_size"),
    **harmless(TRAINING, "drop_rate", "proj_drop_rate", "attn_drop_rate", "drop_path_rate"),
    **harmless(TRAINING, "weight_init", "drop_block_rate"),
    **harmless(MEMORY, "device", "dtype", "use_checkpoint", "scriptable", "exportable", "no_jit"),
    **harmless(HEAD, "num_classes"),
    **harmless(RECORD, "pretrained", "checkpoint_path", "cache_dir"),
}
"""timm's SwinTransformer and SwinTransformerV2: `model_args` of config.json."""

PREPARATION: Options = {
    "mean": Read("folded into the weights"),
    "std": Read("folded into the weights"),
    "crop_pct": Read("share of the short side that the crop keeps"),
    "crop_mode": Read("`center` or `squash`; `border` is refused"),
    "interpolation": Read("`bicubic`, `bilinear` or `lanczos`; others are refused"),
    "input_size": Read("image size where `img_size` is not given"),
}

TIMM_PRETRAINED: Options = {
    **PREPARATION,
    "tag": Read("which of the published weights they are"),
    "global_pool": Only((None, "avg")),
    **harmless("timm uses them only if asked to", "test_input_size", "test_crop_pct"),
    **harmless("embeddings are made at one size", "fixed_input_size", "min_input_size"),
    **harmless("the feature map has the size that the image gives it", "pool_size"),
    **harmless("the feature map has the size that the image gives it", "test_pool_size"),
    **harmless(HEAD, "num_classes", "label_offset", "label_names", "label_descriptions"),
    **harmless("names a layer", "first_conv", "classifier"),
    **harmless(RECORD, "url", "file", "state_dict", "hf_hub_id", "hf_hub_filename", "source"),
    **harmless(RECORD, "architecture", "custom_load", "license", "description", "origin_url"),
    **harmless(RECORD, "paper_name", "paper_ids", "notes"),
}
"""timm's `pretrained_cfg`."""

TIMM_FILE: Options = {
    "architecture": Read("name of the published architecture"),
    "model_args": Read("options of the constructor"),
    "pretrained_cfg": Read("how images are prepared"),
    "global_pool": Only(("avg", None)),
    **harmless(HEAD, "num_classes", "label_names", "label_descriptions"),
    **harmless("follows from the tensors", "num_features"),
}
"""The top of timm's config.json."""

TIMM_WRAPPER: Options = {
    **PRETRAINED_CONFIG,
    **TIMM_PRETRAINED,
    **TIMM_FILE,
    "model_type": Read("`timm_wrapper`: the rest is as in timm's file"),
    **harmless("a list of classes", "architectures"),
    **harmless("what is returned beside it", "do_pooling"),
    **harmless(TRAINING, "initializer_range"),
}
"""transformers' TimmWrapperConfig."""
