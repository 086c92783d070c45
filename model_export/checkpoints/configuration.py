"""What lies beside a checkpoint: transformers' or timm's config.json, preprocessor_config.json."""

import json
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from model_export import catalog
from model_export.architecture import Architecture
from model_export.errors import CheckpointError
from model_export.model_card import Preprocessing

RESAMPLING = {1: "lanczos", 2: "bilinear", 3: "bicubic"}
"""Pillow's numbers, which transformers writes down."""


@dataclass(frozen=True)
class Configuration:
    """Two JSON files, empty where they are not there."""

    model: dict[str, Any]
    preprocessor: dict[str, Any]

    @property
    def published_name(self) -> str | None:
        """The name that timm wrote down, with its tag if that is known."""
        name = self.model.get("architecture")
        tag = self.model.get("pretrained_cfg", {}).get("tag")
        full = f"{name}.{tag}" if tag else name
        return full if full in catalog.BY_NAME else name

    def geometry(self, architecture: Architecture) -> Architecture:
        """The architecture, with what the configuration says of image size and windows.

        Raises:
            CheckpointError: It says something that no Swin here does.
        """
        if "model_type" in self.model:
            return self._transformers(architecture)
        given = self.model.get("model_args") or {}
        size = given.get("img_size") or self._timm().get("input_size")
        if size is None:
            return architecture
        stages = len(architecture.depths)
        windows = architecture.windows
        if "window_size" in given:
            windows = _each(given["window_size"], stages)
        trained = tuple(given.get("pretrained_window_sizes", architecture.pretrained_windows))
        return replace(
            architecture, image_size=_side(size), windows=windows, pretrained_windows=trained
        )

    def preprocessing(self, image_size: int) -> Preprocessing | None:
        """How images are prepared, if one of the files says.

        Raises:
            CheckpointError: In a way that the service has not.
        """
        try:
            if self.preprocessor:
                return self._processor(image_size)
            return _timms(self._timm(), image_size) if "mean" in self._timm() else None
        except (KeyError, TypeError, ValueError, ValidationError) as error:
            raise CheckpointError(
                f"the preprocessing beside the checkpoint cannot be had ({error}); "
                "remove preprocessor_config.json or config.json to have the published one"
            ) from error

    def _timm(self) -> dict[str, Any]:
        """What timm calls pretrained_cfg, which older files have at the top."""
        found: dict[str, Any] = self.model.get("pretrained_cfg", self.model)
        return found

    def _transformers(self, architecture: Architecture) -> Architecture:
        said = self.model
        if said["model_type"] not in ("swin", "swinv2"):
            raise CheckpointError(f"config.json is of a '{said['model_type']}', not of a Swin")
        for key, only in (
            ("hidden_act", "gelu"),
            ("layer_norm_eps", 1e-5),
            ("use_absolute_embeddings", False),
        ):
            if said.get(key, only) != only:
                raise CheckpointError(f"config.json: {key} {said[key]} is not built; only {only}")
        stages = len(architecture.depths)
        trained = tuple(said.get("pretrained_window_sizes", ()))[:stages]
        return replace(
            architecture,
            image_size=_side(said.get("image_size", 224)),
            windows=_each(said.get("window_size", 7), stages),
            pretrained_windows=trained if any(trained) else (),
        )

    def _processor(self, image_size: int) -> Preprocessing:
        """The image processor of transformers: short side and crop, or stretched to the size."""
        said = self.preprocessor
        size = said.get("size", image_size)
        if isinstance(size, dict) and "shortest_edge" in size:
            resize, mode = size["shortest_edge"], "short_side"
        elif isinstance(size, dict):
            resize, mode = _side((size["height"], size["width"])), "stretch"
        else:
            resize, mode = _side(size), "stretch"
        crop = said.get("crop_size", image_size) if said.get("do_center_crop") else resize
        crop = crop["height"] if isinstance(crop, dict) else crop
        if mode == "short_side" and not said.get("do_center_crop"):
            crop = image_size
        if crop != image_size:
            raise ValueError(f"images of {crop} for a network of {image_size}")
        return Preprocessing.model_validate(
            {
                "resize": resize,
                "resize_mode": mode,
                "crop": crop,
                "interpolation": RESAMPLING[said.get("resample", 2)],
                "mean": said["image_mean"],
                "std": said["image_std"],
            }
        )


def beside(path: Path) -> Configuration:
    """The configuration in the folder of a checkpoint.

    Raises:
        CheckpointError: A file that is not JSON.
    """
    return Configuration(
        _json(path.parent / "config.json"), _json(path.parent / "preprocessor_config.json")
    )


def _timms(said: dict[str, Any], image_size: int) -> Preprocessing:
    """The evaluation transform of timm: resized by the crop's share, rounded down, then cropped."""
    resize = math.floor(image_size / said.get("crop_pct", 0.875))
    modes = {"center": "short_side", "squash": "stretch"}
    return Preprocessing.model_validate(
        {
            "resize": resize,
            "resize_mode": modes[said.get("crop_mode", "center")],
            "crop": image_size,
            "interpolation": said.get("interpolation", "bicubic"),
            "mean": said["mean"],
            "std": said["std"],
        }
    )


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes()) if path.is_file() else {}
    except ValueError as error:
        raise CheckpointError(f"{path} is not JSON: {error}; mend or remove it") from error
    return found if isinstance(found, dict) else {}


def _side(size: Any) -> int:
    """Side of a square given as a number, [height, width] or [channels, height, width]."""
    sides = {size} if isinstance(size, int) else set(size[-2:])
    if len(sides) != 1:
        raise CheckpointError(f"images of {size} are not square, which is all that is built")
    return int(sides.pop())


def _each(windows: Any, stages: int) -> tuple[int, ...]:
    """Window of each stage, of one number for all or a sequence."""
    return (windows,) * stages if isinstance(windows, int) else tuple(map(_side, windows))
