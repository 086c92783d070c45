"""What lies beside a checkpoint: transformers' or timm's config.json, preprocessor_config.json."""

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from model_export import catalog
from model_export.errors import CheckpointError
from model_export.model_card import Preprocessing
from model_export.network.architecture import Architecture

RESAMPLING = {1: "lanczos", 2: "bilinear", 3: "bicubic"}
"""Pillow's numbers, which transformers writes down."""

CROPPING = {"center": "short_side", "squash": "stretch"}
"""What timm calls the ways to resize."""

NETWORK = {"hidden_act": "gelu", "layer_norm_eps": 1e-5, "use_absolute_embeddings": False}
"""What transformers could build otherwise, and a Swin is not."""

STEPS = {"do_resize": True, "do_rescale": True, "do_normalize": True, "rescale_factor": 1 / 255}
"""What transformers could leave out or do otherwise, and the service does."""


@dataclass(frozen=True)
class Configuration:
    """Two JSON files, empty where they are not there."""

    model: dict[str, Any]
    preprocessor: dict[str, Any]

    @property
    def published_name(self) -> str | None:
        """The name that timm wrote down, with its tag if that is known."""
        name = self.model.get("architecture")
        if not isinstance(name, str):
            return None
        full = f"{name}.{self._timm().get('tag')}"
        return full if full in catalog.BY_NAME else name

    def geometry(self, architecture: Architecture) -> Architecture:
        """The architecture, with what the configuration says of image size and windows.

        Raises:
            CheckpointError: It says something that no Swin here does.
        """
        with _told_in_a_line("config.json: {}"):
            if "model_type" in self.model:
                return self._transformers(architecture)
            given = self.model.get("model_args") or {}
            size = given.get("img_size") or self._timm().get("input_size")
            if size is None:
                return architecture
            stages = len(architecture.depths)
            windows, trained = architecture.windows, architecture.pretrained_windows
            if "window_size" in given:
                windows = _windows(given["window_size"], stages)
            if "pretrained_window_sizes" in given:
                trained = _trained(given, stages)
            return replace(
                architecture,
                image_size=_side("image size", size),
                windows=windows,
                pretrained_windows=trained,
            )

    def preprocessing(self, image_size: int) -> Preprocessing | None:
        """How images are prepared, if one of the files says.

        Raises:
            CheckpointError: In a way that the service has not.
        """
        with _told_in_a_line(
            "the preprocessing beside the checkpoint cannot be had ({}); "
            "remove preprocessor_config.json or config.json to have the published one"
        ):
            if self.preprocessor:
                return self._processor(image_size)
            return _timms(self._timm(), image_size) if "mean" in self._timm() else None

    def _timm(self) -> dict[str, Any]:
        """What timm calls pretrained_cfg, which older files have at the top."""
        found = self.model.get("pretrained_cfg")
        return found if isinstance(found, dict) else self.model

    def _transformers(self, architecture: Architecture) -> Architecture:
        said = self.model
        if said["model_type"] not in ("swin", "swinv2"):
            raise ValueError(f"it is of a '{said['model_type']}', not of a Swin")
        _refuse_others(said, NETWORK)
        stages = len(architecture.depths)
        trained = _trained(said, stages)
        return replace(
            architecture,
            image_size=_side("image_size", said.get("image_size", 224)),
            windows=_windows(said.get("window_size", 7), stages),
            pretrained_windows=trained if any(trained) else (),
        )

    def _processor(self, image_size: int) -> Preprocessing:
        """The image processor of transformers: short side and crop, or stretched to the size."""
        said = self.preprocessor
        _refuse_others(said, STEPS)
        size = said.get("size", image_size)
        cut = bool(said.get("do_center_crop"))
        if isinstance(size, dict) and "shortest_edge" in size:
            resize, mode = _side("shortest_edge", size["shortest_edge"]), "short_side"
            crop = image_size
        else:
            resize, mode = _square("size", size), "stretch"
            crop = resize
        if cut:
            crop = _square("crop_size", said.get("crop_size", image_size))
        if crop != image_size:
            raise ValueError(f"images of {crop} for a network of {image_size}")
        return Preprocessing.model_validate(
            {
                "resize": resize,
                "resize_mode": mode,
                "crop": crop,
                "interpolation": _one_of(RESAMPLING, "resample", said.get("resample", 2)),
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
    return Preprocessing.model_validate(
        {
            "resize": resize,
            "resize_mode": _one_of(CROPPING, "crop_mode", said.get("crop_mode", "center")),
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


@contextmanager
def _told_in_a_line(sentence: str) -> Iterator[None]:
    """Put whatever cannot be made of a file's values, which can be anything, into a sentence.

    Raises:
        CheckpointError: Something could not.
    """
    try:
        yield
    except ValidationError as error:
        faults = [
            " ".join((*map(str, fault["loc"]), fault["msg"].removeprefix("Value error, ")))
            for fault in error.errors()
        ]
        raise CheckpointError(sentence.format("; ".join(faults))) from error
    except KeyError as error:
        raise CheckpointError(sentence.format(f"no {error}")) from error
    except (ArithmeticError, AttributeError, TypeError, ValueError) as error:
        raise CheckpointError(sentence.format(error)) from error


def _refuse_others(said: dict[str, Any], built: dict[str, Any]) -> None:
    """Let pass what is said of `built` if it is that."""
    for key, only in built.items():
        given = said.get(key, only)
        if given != only and not (isinstance(only, float) and math.isclose(given, only)):
            raise ValueError(f"{key} {given} is not built; only {only}")


def _one_of(built: dict[Any, str], key: str, said: Any) -> str:
    if said not in built:
        raise ValueError(f"{key} {said} is not built; only {', '.join(map(str, built))}")
    return built[said]


def _side(key: str, size: Any, least: int = 1) -> int:
    """Side of a square given as a number, [height, width] or [channels, height, width]."""
    sides = size[-2:] if isinstance(size, list) and size else [size]
    if sides[0] != sides[-1]:
        raise ValueError(f"{key} {size} is not square, which is all that is built")
    if not isinstance(sides[0], int) or sides[0] < least:
        raise ValueError(f"{key} {json.dumps(size)} is not a whole number from {least}")
    return sides[0]


def _square(key: str, size: Any) -> int:
    """The same, or height and width by name, as image processors write it."""
    return _side(key, [size["height"], size["width"]] if isinstance(size, dict) else size)


def _windows(given: Any, stages: int) -> tuple[int, ...]:
    """Window of each stage, of a number or a pair for all of them, as timm does, or a sequence."""
    if not isinstance(given, list) or len(given) == 2:
        given = [given] * stages
    return _of_each("window_size", given, stages)


def _trained(said: dict[str, Any], stages: int) -> tuple[int, ...]:
    """Window that each stage was trained with, 0 where it is the stage's own."""
    key = "pretrained_window_sizes"
    return _of_each(key, (said.get(key) or [0] * stages)[:stages], stages, least=0)


def _of_each(key: str, given: list[Any], stages: int, least: int = 1) -> tuple[int, ...]:
    if len(given) != stages:
        raise ValueError(f"{key} {given} is not for {stages} stages")
    return tuple(_side(key, side, least) for side in given)
