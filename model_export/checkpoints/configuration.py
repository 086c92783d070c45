"""What is said of a network beside its tensors, by transformers, timm or the training script.

That is config.json and preprocessor_config.json in its folder, and settings in the checkpoint.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from model_export import catalog
from model_export.checkpoints import settings
from model_export.checkpoints.formats import json_file
from model_export.checkpoints.geometry import agree, shape_of, windows_of
from model_export.checkpoints.options.timm import TIMM, TIMM_FILE, TIMM_PRETRAINED, TIMM_WRAPPER
from model_export.checkpoints.options.transformers import TRANSFORMERS
from model_export.checkpoints.processors import processors, timms
from model_export.checkpoints.values import check, of_each, refused_in_a_line, shown, side
from model_export.model_card import Preprocessing
from model_export.network.architecture import Architecture

WRAPPER = "TimmWrapperImageProcessor"

FILES = ("config.json", "processor_config.json", "preprocessor_config.json")
"""What transformers and timm write; of processors the nested one comes first, as there."""


@dataclass(frozen=True)
class Configuration:
    """Two JSON files and the settings in a checkpoint, empty where there are none.

    Attributes:
        model: config.json.
        preprocessor: preprocessor_config.json, or that part of processor_config.json.
        kept: Settings in the checkpoint that say which network it is, as `settings` reads them.
        sizes: Values of `img_size` and the like in any other settings.
    """

    model: Mapping[str, Any] = field(default_factory=dict)
    preprocessor: Mapping[str, Any] = field(default_factory=dict)
    kept: Mapping[str, Any] = field(default_factory=dict)
    sizes: settings.Sizes = field(default_factory=dict)

    @property
    def published_name(self) -> str | None:
        """The name that timm wrote down, with its tag if that is known."""
        name = self.model.get("architecture", self.kept.get("architecture"))
        if not isinstance(name, str):
            return None
        full = f"{name}.{self._pretrained().get('tag')}"
        return full if full in catalog.BY_NAME else name

    @property
    def says_geometry(self) -> bool:
        """Whether there is anything to take windows and image size from."""
        return bool(self.model) or bool(self.kept)

    @property
    def attention_bias(self) -> bool | None:
        """Whether queries, keys and values have biases; None if it does not say."""
        given = self._given().get("qkv_bias")
        return given if isinstance(given, bool) else None

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should be told of it."""
        if not self.model and self.kept:
            return ("took the network's options from the settings in the checkpoint",)
        return ()

    def geometry(self, architecture: Architecture) -> Architecture:
        """The architecture, with what the configuration says of image size and windows.

        Raises:
            CheckpointError: It says something that is not built, or that the tensors contradict.
        """
        with refused_in_a_line("config.json: {}" if self.model else "its settings: {}"):
            given = self._given()
            stages = len(architecture.depths)
            if self._is_transformers():
                given = {"image_size": 224, "window_size": 7, **given}
                version = 2 if self.model["model_type"] == "swinv2" else 1
                if architecture.version != version:
                    raise ValueError(f"model_type is {self.model['model_type']}, its tensors not")
            elif published := catalog.BY_NAME.get(self.published_name or ""):
                given = {**shape_of(published.architecture), **given}
                if architecture.version != published.architecture.version:
                    raise ValueError(f"architecture is {published.name}, its tensors are not")
            agree(given, architecture)
            size = self._pretrained().get("input_size", architecture.image_size)
            side("input_size", size, least=0)
            if given.get("img_size") is not None:
                size = given["img_size"]
            size = given.get("image_size", size)
            windows, trained = architecture.windows, architecture.pretrained_windows
            if "window_size" in given:
                windows = windows_of(given["window_size"], stages)
            key = "pretrained_window_sizes"
            if key in given:
                trained = of_each(key, (given[key] or [0] * stages)[:stages], stages, least=0)
            if 0 in windows:
                raise ValueError("no window_size, and its tensors do not tell it: put it there")
            always = given.get("always_partition", False)
            if not isinstance(always, bool):
                raise ValueError(f"always_partition {shown(always)} is neither true nor false")
            architectures = self.model.get("architectures") or []
            if isinstance(architectures, str):
                architectures = [architectures]
            ratio = given.get("mlp_ratio", 0)
            known = replace(
                architecture,
                image_size=side("image size", size),
                windows=windows,
                pretrained_windows=trained if any(trained) else (),
                always_partition="SwinBackbone" in architectures or always,
                final_norm="Swinv2Backbone" not in architectures,
            )
            # A ratio with many decimals is not what a quotient of whole numbers comes to.
            if ratio and replace(known, mlp_ratio=ratio).stage_hidden(0) == known.stage_hidden(0):
                known = replace(known, mlp_ratio=ratio)
            return known

    def preprocessing(self, image_size: int, published: Preprocessing) -> Preprocessing:
        """How images are prepared: as one of the files says, else as for the published model.

        Raises:
            CheckpointError: In a way that the service has not.
        """
        with refused_in_a_line(
            "the preprocessing beside the checkpoint cannot be had ({}); "
            "remove preprocessor_config.json or config.json to have the published one"
        ):
            if self.preprocessor.get("image_processor_type") == WRAPPER:
                return timms(self.preprocessor.get("pretrained_cfg") or {}, image_size)
            if self.preprocessor:
                return processors(self.preprocessor, image_size)
            pretrained = self._pretrained()
            if any(key in pretrained for key in ("mean", "std", "crop_pct", "interpolation")):
                return timms(pretrained, image_size)
            if prepared := self.kept.get("prepared"):
                modes = {"short_side": "center", "stretch": "squash"}
                known = {
                    "mean": published.mean,
                    "std": published.std,
                    "interpolation": published.interpolation,
                    "crop_pct": published.crop / published.resize,
                    "crop_mode": modes[published.resize_mode],
                }
                return timms(known | prepared, image_size)
        return published

    def check(self) -> None:
        """Refuse options that would change an embedding and are not followed.

        Raises:
            CheckpointError: There is one; it is named.
        """
        with refused_in_a_line("config.json: {}"):
            if self._is_wrapped():
                check(self.model, TIMM_WRAPPER)
                check(self._mapping("model_args"), TIMM, "model_args.")
            elif "model_type" in self.model:
                kind = self.model["model_type"]
                if kind not in ("swin", "swinv2"):
                    raise ValueError(
                        f"it is of a '{shown(kind)}', not of a Swin; if that has a Swin for a "
                        "backbone, put the backbone's own configuration there"
                    )
                check(self.model, TRANSFORMERS)
            elif self.model:
                name = self.model.get("architecture")
                if isinstance(name, str) and "swin" not in name:
                    raise ValueError(f"architecture {shown(name)} is not a Swin")
                nested = isinstance(self.model.get("pretrained_cfg"), dict)
                check(self.model, TIMM_FILE if nested else TIMM_PRETRAINED | TIMM_FILE)
                check(self._mapping("model_args"), TIMM, "model_args.")
            check(self._mapping("pretrained_cfg"), TIMM_PRETRAINED, "pretrained_cfg.")
        with refused_in_a_line("its settings: {}"):
            check(self.kept.get("model_args") or {}, TIMM)
            check({k: v for k, v in self.kept.items() if k == "global_pool"}, TIMM)

    def _is_wrapped(self) -> bool:
        return self.model.get("model_type") == "timm_wrapper"

    def _is_transformers(self) -> bool:
        return "model_type" in self.model and not self._is_wrapped()

    def _given(self) -> Mapping[str, Any]:
        """Options of the constructor."""
        if self._is_transformers():
            return self.model
        return self._mapping("model_args") or self.kept.get("model_args") or {}

    def _mapping(self, key: str) -> Mapping[str, Any]:
        found = self.model.get(key)
        if found is not None and not isinstance(found, dict):
            raise ValueError(f"{key} {shown(found)} is not an object")
        return found or {}

    def _pretrained(self) -> Mapping[str, Any]:
        """What timm calls pretrained_cfg, which older files have at the top."""
        found = self.model.get("pretrained_cfg")
        return found if isinstance(found, dict) else self.model


def beside(path: Path, kept: Mapping[str, Any]) -> Configuration:
    """The configuration in the folder of a checkpoint and in the checkpoint itself.

    Raises:
        CheckpointError: A file that is not JSON, or options that are not built.
    """
    with refused_in_a_line(f"{path}: {{}}"):
        said, sizes = settings.configuration(kept), settings.sizes(kept)
    model, nested, preprocessor = (
        json_file.read(file) if (file := path.parent / name).is_file() else {} for name in FILES
    )
    with refused_in_a_line("processor_config.json: {}"):
        inner = nested.get("image_processor", preprocessor)
        if not isinstance(inner, dict):
            raise ValueError(f"image_processor {shown(inner)} is not an object")
    found = Configuration(model, inner, said, sizes)
    found.check()
    return found
