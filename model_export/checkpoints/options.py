"""Every option of the libraries' Swins and of their configuration files: what the exporter does.

An option is read, or must have the value that is computed with, or changes no embedding, for the
reason given. Whatever is not in these tables is refused by name. docs/checkpoints.md shows them.
"""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Only:
    """An option that must have one of some values; the first is the library's default."""

    values: tuple[Any, ...]

    @property
    def text(self) -> str:
        """What the exporter does with it."""
        return "must be " + " or ".join(f"`{value}`" for value in self.values)


@dataclass(frozen=True)
class Read:
    """An option that the exporter follows."""

    text: str


@dataclass(frozen=True)
class Harmless:
    """An option that changes no embedding."""

    reason: str

    @property
    def text(self) -> str:
        """What the exporter does with it."""
        return f"changes nothing: {self.reason}"


Options = dict[str, Only | Read | Harmless]


def _harmless(reason: str, *names: str) -> Options:
    return dict.fromkeys(names, Harmless(reason))


TRAINING = "acts in training only"
HEAD = "of the classifier, which embeddings do not pass"
RECORD = "says where the weights come from"
OTHERS = "of other kinds of model"
MEMORY = "changes time and memory, not results"

CHECKED = Read("must agree with the tensors")

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
    "norm_layer": Only((None, "layernorm", "LayerNorm")),
    "embed_layer": Only((None, "PatchEmbed")),
    "ape": Only((False,)),
    "patch_norm": Only((True,)),
    "output_fmt": Only((None, "NHWC")),
    "features_only": Only((False,)),
    **_harmless("the image size is fixed in the artifact", "strict_img_size", "dynamic_img_size"),
    **_harmless(TRAINING, "drop_rate", "proj_drop_rate", "attn_drop_rate", "drop_path_rate"),
    **_harmless(TRAINING, "weight_init", "drop_block_rate"),
    **_harmless(MEMORY, "device", "dtype", "use_checkpoint", "scriptable", "exportable", "no_jit"),
    **_harmless(HEAD, "num_classes"),
    **_harmless(RECORD, "pretrained", "checkpoint_path", "cache_dir"),
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
    **_harmless("timm uses them only if asked to", "test_input_size", "test_crop_pct"),
    **_harmless("embeddings are made at one size", "fixed_input_size", "min_input_size"),
    **_harmless("the feature map has the size that the image gives it", "pool_size"),
    **_harmless("the feature map has the size that the image gives it", "test_pool_size"),
    **_harmless(HEAD, "num_classes", "label_offset", "label_names", "label_descriptions"),
    **_harmless("names a layer", "first_conv", "classifier"),
    **_harmless(RECORD, "url", "file", "state_dict", "hf_hub_id", "hf_hub_filename", "source"),
    **_harmless(RECORD, "architecture", "custom_load", "license", "description", "origin_url"),
    **_harmless(RECORD, "paper_name", "paper_ids", "notes"),
}
"""timm's `pretrained_cfg`."""

TIMM_FILE: Options = {
    "architecture": Read("name of the published architecture"),
    "model_args": Read("options of the constructor"),
    "pretrained_cfg": Read("how images are prepared"),
    "global_pool": Only(("avg", None)),
    **_harmless(HEAD, "num_classes", "label_names", "label_descriptions"),
    **_harmless("follows from the tensors", "num_features"),
}
"""The top of timm's config.json."""

PRETRAINED_CONFIG: Options = {
    "is_encoder_decoder": Only((False,)),
    "per_layer_config": Only((None, {})),
    "pruned_heads": Only(({}, None)),
    "quantization_config": Only((None,)),
    **_harmless(HEAD, "id2label", "label2id", "num_labels", "problem_type", "finetuning_task"),
    **_harmless(RECORD, "_name_or_path", "name_or_path", "transformers_version", "_commit_hash"),
    **_harmless(RECORD, "task_specific_params", "auto_map"),
    **_harmless(MEMORY, "torch_dtype", "dtype", "chunk_size_feed_forward", "use_cache"),
    **_harmless(MEMORY, "_attn_implementation", "attn_implementation", "gradient_checkpointing"),
    **_harmless(MEMORY, "_attn_implementation_autoset", "torchscript", "use_bfloat16"),
    **_harmless(MEMORY, "experts_implementation"),
    **_harmless("what is returned beside it", "output_hidden_states", "output_attentions"),
    **_harmless("what is returned beside it", "return_dict", "tie_last_hidden_states"),
    **_harmless(OTHERS, "is_decoder", "add_cross_attention", "cross_attention_hidden_size"),
    **_harmless(OTHERS, "tie_encoder_decoder", "tie_word_embeddings", "tf_legacy_loss", "prefix"),
    **_harmless(OTHERS, "bos_token_id", "pad_token_id", "eos_token_id", "sep_token_id"),
    **_harmless(OTHERS, "decoder_start_token_id", "tokenizer_class", "max_length", "min_length"),
    **_harmless(OTHERS, "do_sample", "early_stopping", "num_beams", "num_beam_groups"),
    **_harmless(OTHERS, "diversity_penalty", "temperature", "top_k", "top_p", "typical_p"),
    **_harmless(OTHERS, "repetition_penalty", "length_penalty", "no_repeat_ngram_size"),
    **_harmless(OTHERS, "encoder_no_repeat_ngram_size", "bad_words_ids", "num_return_sequences"),
    **_harmless(OTHERS, "output_scores", "return_dict_in_generate", "forced_bos_token_id"),
    **_harmless(OTHERS, "forced_eos_token_id", "remove_invalid_values", "suppress_tokens"),
    **_harmless(OTHERS, "exponential_decay_length_penalty", "begin_suppress_tokens"),
}
"""What transformers may write into any model's config.json."""

TRANSFORMERS: Options = {
    **PRETRAINED_CONFIG,
    "model_type": Read("`swin` or `swinv2`"),
    "architectures": Read("`SwinBackbone` shifts every window, `Swinv2Backbone` has no last norm"),
    "image_size": Read("square, windows must fill it"),
    "window_size": Read("of all stages; square"),
    "pretrained_window_sizes": Read("V2: scale of the position bias's coordinates"),
    "patch_size": CHECKED,
    "num_channels": Only((3,)),
    "embed_dim": CHECKED,
    "depths": CHECKED,
    "num_heads": CHECKED,
    "mlp_ratio": CHECKED,
    "qkv_bias": CHECKED,
    "hidden_act": Only(("gelu",)),
    "layer_norm_eps": Only((1e-5,)),
    "use_absolute_embeddings": Only((False,)),
    "path_norm": Only((True,)),
    **_harmless("follow from the tensors", "hidden_size", "num_layers", "stage_names"),
    **_harmless("follow from the tensors", "num_hidden_layers", "num_attention_heads"),
    **_harmless(
        "which feature maps a backbone returns; the embedding is of the last one",
        *("out_features", "out_indices", "_out_features", "_out_indices"),
    ),
    **_harmless("of SimMIM's decoder", "encoder_stride"),
    **_harmless(TRAINING, "hidden_dropout_prob", "attention_probs_dropout_prob"),
    **_harmless(TRAINING, "drop_path_rate", "initializer_range"),
}
"""transformers' SwinConfig and Swinv2Config."""

TIMM_WRAPPER: Options = {
    **PRETRAINED_CONFIG,
    **TIMM_PRETRAINED,
    **TIMM_FILE,
    "model_type": Read("`timm_wrapper`: the rest is as in timm's file"),
    **_harmless("a list of classes", "architectures"),
    **_harmless("what is returned beside it", "do_pooling"),
    **_harmless(TRAINING, "initializer_range"),
}
"""transformers' TimmWrapperConfig."""

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
    **_harmless("of another type", "SWIN_MOE", "SWIN_MLP", "SIMMIM", "VIT"),
    **_harmless(RECORD, "NAME", "PRETRAINED", "RESUME"),
    **_harmless(HEAD, "NUM_CLASSES"),
    **_harmless(TRAINING, "DROP_RATE", "DROP_PATH_RATE", "LABEL_SMOOTHING"),
}
"""`MODEL` of the same; `DATA` gives image size and interpolation, `TEST.CROP` the crop."""

PAPER_CONSTRUCTOR: Options = {
    **{name.lower(): option for name, option in PAPER.items()},
    "img_size": Read("image size; square, windows must fill it"),
    "norm_layer": Only(("LayerNorm",)),
    **_harmless(HEAD, "num_classes"),
    **_harmless(TRAINING, "drop_rate", "attn_drop_rate", "drop_path_rate"),
    **_harmless(MEMORY, "use_checkpoint", "fused_window_process"),
}
"""The constructors of the paper's SwinTransformer and SwinTransformerV2."""

TORCHVISION: Options = {
    **dict.fromkeys(
        ("patch_size", "embed_dim", "depths", "num_heads", "mlp_ratio"),
        Read("follows from the tensors"),
    ),
    "window_size": Read("V1: follows from the tensors; V2: from relative_coords_table"),
    **_harmless(TRAINING, "dropout", "attention_dropout", "stochastic_depth_prob"),
    **_harmless(HEAD, "num_classes"),
    "norm_layer": Only(("LayerNorm with eps 1e-5",)),
    "block": Read("V1's or V2's, by the tensors"),
    "downsample_layer": Read("V1's or V2's, by the tensors"),
}
"""torchvision's SwinTransformer; its files carry no options, so only tensors can tell."""

PROCESSOR: Options = {
    "do_resize": Only((True,)),
    "do_rescale": Only((True,)),
    "do_normalize": Only((True,)),
    "rescale_factor": Only((1 / 255,)),
    "offset": Only((False, None)),
    "do_center_crop": Read("cuts the centre to `crop_size`"),
    "crop_size": Read("square"),
    "size": Read("`height` and `width`, or `shortest_edge` with a crop; `longest_edge` is refused"),
    "crop_pct": Read("ConvNextImageProcessor: share of the short side, below 384 pixels"),
    "resample": Read("1, 2 or 3: lanczos, bilinear, bicubic; others are refused"),
    "image_mean": Read("folded into the weights"),
    "image_std": Read("folded into the weights"),
    "do_pad": Only((False, None)),
    "do_grayscale": Only((False, None)),
    "do_flip_channel_order": Only((False, None)),
    "do_color_quantize": Only((False, None)),
    "do_reduce_labels": Harmless("of segmentation maps"),
    "reduce_labels": Harmless("of segmentation maps"),
    "default_to_square": Read("what a `size` that is one number means"),
    "image_processor_type": Read("which options it has and what they are if not given"),
    "feature_extractor_type": Read("the same, before transformers 4.26"),
    "do_convert_rgb": Harmless("every image is converted to RGB"),
    **_harmless("acts only with do_pad", "pad_size", "size_divisor", "size_divisibility"),
    **_harmless("how images are handed over", "input_data_format", "data_format", "device"),
    **_harmless("how images are handed over", "return_tensors", "disable_grouping"),
    **_harmless(RECORD, "processor_class", "_processor_class", "_valid_processor_keys"),
    **_harmless(RECORD, "auto_map", "transformers_version", "backend"),
}
"""transformers' image processors: preprocessor_config.json."""

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
