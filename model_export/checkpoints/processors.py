"""How images are prepared, as timm's pretrained_cfg or transformers' image processor says."""

import math
from collections.abc import Mapping
from typing import Any

from model_export.checkpoints.options.transformers import PROCESSOR
from model_export.checkpoints.values import check, number, one_of, shown, side
from model_export.model_card import Preprocessing

RESAMPLING = {1: "lanczos", 2: "bilinear", 3: "bicubic"}
"""Pillow's numbers, which transformers writes down."""

CROPPING = {"center": "short_side", "squash": "stretch"}
"""What timm calls the ways to resize."""

TIMM_DEFAULTS = {
    "crop_pct": 0.875,
    "crop_mode": "center",
    "interpolation": "bicubic",
    "mean": [0.485, 0.456, 0.406],
    "std": [0.229, 0.224, 0.225],
}
"""What timm fills in where a pretrained_cfg does not say."""

HALVES = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
CLIP = {
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
}
SQUARE_CROP = {"do_center_crop": True, "crop_size": 224, "resample": 3}

CLASSES: dict[str, dict[str, Any]] = {
    "ViT": {**HALVES, "size": 224, "resample": 2},
    "Beit": {**HALVES, "size": 224, "resample": 3},
    "DeiT": {**HALVES, **SQUARE_CROP, "size": 256},
    "Bit": {**CLIP, **SQUARE_CROP, "size": {"shortest_edge": 224}, "default_to_square": False},
    "CLIP": {**CLIP, **SQUARE_CROP, "size": {"shortest_edge": 224}, "default_to_square": False},
    "ConvNext": {
        **HALVES,
        "size": {"shortest_edge": 384},
        "resample": 3,
        "crop_pct": 224 / 256,
        "default_to_square": False,
    },
}
"""transformers' image processors, and what they take where a file does not say."""

ENDINGS = ("Pil", "Fast", "ImageProcessor", "FeatureExtractor")
"""What stands behind a processor's name in one version of transformers or another."""


def timms(said: Mapping[str, Any], image_size: int) -> Preprocessing:
    """The evaluation transform of timm: resized by the crop's share, rounded down, then cropped.

    Args:
        said: A pretrained_cfg.
        image_size: Side of the network's input.

    Raises:
        ValueError: It says something that the service does not do.
    """
    said = TIMM_DEFAULTS | {key: said[key] for key in TIMM_DEFAULTS if said.get(key) is not None}
    return Preprocessing.model_validate(
        {
            "resize": math.floor(image_size / number("crop_pct", said["crop_pct"])),
            "resize_mode": one_of(CROPPING, "crop_mode", said["crop_mode"]),
            "crop": image_size,
            "interpolation": said["interpolation"],
            "mean": said["mean"],
            "std": said["std"],
        }
    )


def processors(said: Mapping[str, Any], image_size: int) -> Preprocessing:
    """What an image processor of transformers does, computed with Pillow.

    Args:
        said: A preprocessor_config.json.
        image_size: Side of the network's input.

    Raises:
        ValueError: It says something that the service does not do.
    """
    written = said.get("image_processor_type", said.get("feature_extractor_type"))
    kind = "ViTImageProcessor" if written is None else str(written)  # as transformers has it
    name = kind
    for ending in ENDINGS:
        name = name.removesuffix(ending)
    if name not in CLASSES:
        known = ", ".join(f"{name}ImageProcessor" for name in CLASSES)
        raise ValueError(f"image_processor_type {shown(kind)} is not built; only {known}")
    if name != "ConvNext" and "crop_pct" in said:
        raise ValueError(f"crop_pct is not an option of {kind}")
    check(said, PROCESSOR)
    given = CLASSES[name] | {key: value for key, value in said.items() if value is not None}
    size, squares = given["size"], given.get("default_to_square", True)
    if not isinstance(size, dict):
        edges = size if isinstance(size, list | tuple) and len(size) == 2 else [size, size]
        size = dict(zip(("height", "width"), edges, strict=True))
        if not squares and edges[0] == edges[1]:
            size = {"shortest_edge": edges[0]}
    if name == "ConvNext":
        resize, mode, crop = _convnext(size, given["crop_pct"])
    elif size.keys() == {"shortest_edge"}:
        resize, mode, crop = side("shortest_edge", size["shortest_edge"]), "short_side", 0
    elif size.keys() == {"height", "width"}:
        resize, mode = side("size", [size["height"], size["width"]]), "stretch"
        crop = resize
    else:
        raise ValueError(
            f"size {shown(size)} is not built; only height and width, or shortest_edge alone"
        )
    if given.get("do_center_crop"):
        cut = given["crop_size"]
        if isinstance(cut, dict):
            cut = [cut["height"], cut["width"]]
        crop = side("crop_size", cut)
    if not crop:
        raise ValueError("shortest_edge without do_center_crop leaves images that are not square")
    if crop != image_size:
        raise ValueError(f"images of {crop} for a network of {image_size}")
    return Preprocessing.model_validate(
        {
            "resize": resize,
            "resize_mode": mode,
            "crop": crop,
            "crop_offset": "down",
            "interpolation": one_of(RESAMPLING, "resample", given["resample"]),
            "mean": _channels("image_mean", given["image_mean"]),
            "std": _channels("image_std", given["image_std"]),
        }
    )


def _convnext(size: Mapping[str, Any], crop_pct: Any) -> tuple[int, str, int]:
    """Resized to the crop's share and cropped below 384 pixels, stretched from there on."""
    crop = side("shortest_edge", size["shortest_edge"])
    if crop >= 384:
        return crop, "stretch", crop
    return int(crop / number("crop_pct", crop_pct)), "short_side", crop


def _channels(key: str, given: Any) -> list[Any]:
    """A value for each channel, of one for all or three."""
    if isinstance(given, list) and len(given) == 3:
        return given
    return [number(key, given)] * 3
