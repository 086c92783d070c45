"""Options of the paper's repository and torchvision, and what any training run may keep."""

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
from model_export.checkpoints.options.timm import TIMM
from model_export.checkpoints.options.transformers import TRANSFORMERS

PAPER: Options = {
    "PATCH_SIZE": CHECKED,
    "IN_CHANS": Only((3,)),
    "EMBED_DIM": CHECKED,
    "DEPTHS": CHECKED,
    "NUM_HEADS": CHECKED,
    "WINDOW_SIZE": Read("of all stages"),
    "PRETRAINED_WINDOW_SIZES": Read("V2: scale of the position bias's coordinates"),
    "MLP_RATIO": CHECKED,
    "QKV_BIAS": CHECKED,
    "QK_SCALE": Only((None,)),
    "APE": Only((False,)),
    "PATCH_NORM": Only((True,)),
}
"""The paper's repository: `MODEL.SWIN` and `MODEL.SWINV2` of its configuration."""

PAPER_MODEL: Options = {
    "TYPE": Only(("swin", "swinv2")),
    "SWIN": Read("options of the constructor"),
    "SWINV2": Read("options of the constructor"),
    **harmless("of another type", "SWIN_MOE", "SWIN_MLP", "SIMMIM", "VIT"),
    **harmless(RECORD, "NAME", "PRETRAINED", "RESUME"),
    **harmless(HEAD, "NUM_CLASSES"),
    **harmless(TRAINING, "DROP_RATE", "DROP_PATH_RATE", "LABEL_SMOOTHING"),
}
"""`MODEL` of the same; `DATA` gives image size and interpolation, `TEST.CROP` the crop."""

PAPER_CONSTRUCTOR: Options = {
    **{name.lower(): option for name, option in PAPER.items()},
    "img_size": Read("image size; square, windows must fill it"),
    "norm_layer": Only(("LayerNorm",)),
    **harmless(HEAD, "num_classes"),
    **harmless(TRAINING, "drop_rate", "attn_drop_rate", "drop_path_rate"),
    **harmless(MEMORY, "use_checkpoint", "fused_window_process"),
}
"""The constructors of the paper's SwinTransformer and SwinTransformerV2."""

LAYER_NORM = ({"type": "LN"}, {"type": "LN", "requires_grad": True})

OPENMMLAB: Options = {
    "arch": Read("follows from the tensors"),
    "img_size": Read("image size; square, windows must fill it"),
    **dict.fromkeys(
        ("patch_size", "embed_dims", "depths", "num_heads", "mlp_ratio", "qkv_bias"), CHECKED
    ),
    "window_size": Read("of all stages or one for each; also in `stage_cfgs`"),
    "pretrained_window_sizes": Read("V2: scale of the position bias's coordinates"),
    "in_channels": Only((3,)),
    "qk_scale": Only((None,)),
    "use_abs_pos_embed": Only((False,)),
    "patch_norm": Only((True,)),
    "pad_small_map": Only((False,)),
    "out_after_downsample": Only((False,)),
    "act_cfg": Only(({"type": "GELU"},)),
    "norm_cfg": Only(LAYER_NORM),
    "stage_cfgs": Only(({},)),
    "patch_cfg": Only(({},)),
    "strides": Only(([4, 2, 2, 2],)),
    **harmless("of absolute position embeddings", "pretrain_img_size", "interpolate_mode"),
    **harmless("which feature maps it returns; the embedding is of the last one", "out_indices"),
    **harmless(TRAINING, "drop_rate", "attn_drop_rate", "drop_path_rate", "frozen_stages"),
    **harmless(TRAINING, "norm_eval"),
    **harmless(MEMORY, "with_cp"),
    **harmless(RECORD, "pretrained", "convert_weights", "init_cfg", "_scope_"),
}
"""SwinTransformer of mmdetection and mmsegmentation, and mmpretrain's V1 and V2: `backbone`."""

TORCHVISION: Options = {
    **dict.fromkeys(
        ("patch_size", "embed_dim", "depths", "num_heads", "mlp_ratio"),
        Read("follows from the tensors"),
    ),
    "window_size": Read("V1: follows from the tensors; V2: from relative_coords_table"),
    **harmless(TRAINING, "dropout", "attention_dropout", "stochastic_depth_prob"),
    **harmless(HEAD, "num_classes"),
    "norm_layer": Only(("LayerNorm with eps 1e-5",)),
    "block": Read("V1's or V2's, by the tensors"),
    "downsample_layer": Read("V1's or V2's, by the tensors"),
}
"""torchvision's SwinTransformer; its files carry no options, so only tensors can tell."""

TRAINING_SETTINGS: Options = {
    **{key: TIMM[key] for key in ("global_pool", "ape", "patch_norm", "in_chans")},
    **{
        key: TRANSFORMERS[key]
        for key in ("hidden_act", "layer_norm_eps", "use_absolute_embeddings", "num_channels")
    },
    "qk_scale": Only((None,)),
    "always_partition": Only((False, None)),
}
"""What the settings of a training run must not say otherwise, wherever in them it stands."""
