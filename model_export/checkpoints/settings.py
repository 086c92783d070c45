"""Settings that training scripts keep in a checkpoint, as far as they concern the network.

Those of timm's training script, of the paper's repository and of OpenMMLab are read: they say
which network it is. Settings of other scripts can be anything, and only what contradicts the
network is refused.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from model_export.checkpoints import openmmlab_text
from model_export.checkpoints.options.repositories import (
    OPENMMLAB,
    PAPER,
    PAPER_MODEL,
    TRAINING_SETTINGS,
)
from model_export.checkpoints.options.timm import PREPARATION
from model_export.checkpoints.values import check, side

DEEPEST = 8
MOST = 100_000
"""Settings that are looked at: how deep, and how many."""

SIZES = ("img_size", "image_size", "window_size")
"""What any script's settings may call the sizes of images and windows."""

Sizes = dict[str, list[Any]]

NAMES = {
    **{name: name for name in ("img_size", "window_size", "pretrained_window_sizes")},
    **{name: name for name in ("patch_size", "mlp_ratio", "depths", "num_heads", "qkv_bias")},
    "embed_dims": "embed_dim",
}
"""OpenMMLab's options that are followed, and what timm calls them."""


def configuration(kept: Mapping[str, Any]) -> dict[str, Any]:
    """What settings in a checkpoint say, in the form of timm's config.json; nothing if nothing.

    Raises:
        ValueError: They say something of the network that is not built; it is named.
    """
    for key, settings in kept.items():
        for name, value in _walk({key: settings}):
            if name in TRAINING_SETTINGS:
                check({name: value}, TRAINING_SETTINGS, f"the checkpoint's {key}: ")
    for key in ("config", "cfg"):
        model = _part(kept.get(key), "MODEL")
        if "SWIN" in model or "SWINV2" in model:
            return _papers(kept[key], model)
    return _openmmlabs(kept) or _timms(kept)


def sizes(kept: Mapping[str, Any]) -> Sizes:
    """All values that settings have under the names of `SIZES`."""
    found: Sizes = {}
    for name, value in _walk(kept):
        if name in SIZES:
            found.setdefault(name, []).append(value)
    return found


def _openmmlabs(kept: Mapping[str, Any]) -> dict[str, Any]:
    """Of mmdetection, mmsegmentation and mmpretrain, which keep their configuration as text."""
    meta = kept.get("meta")
    text = meta.get("cfg", meta.get("config")) if isinstance(meta, dict) else None
    networks = openmmlab_text.swins(text) if isinstance(text, str) else []
    for network in networks:
        check(network, OPENMMLAB, "the checkpoint's backbone: ")
    if len(networks) != 1:
        return {}
    return {"model_args": {NAMES[key]: v for key, v in networks[0].items() if key in NAMES}}


def _timms(kept: Mapping[str, Any]) -> dict[str, Any]:
    """Of timm's train.py: the architecture's name, and arguments that differ from its own."""
    arch = kept.get("arch")
    args = kept.get("args")
    args = args if isinstance(args, dict) else {}
    if not isinstance(arch, str):
        return {}
    given = dict(args.get("model_kwargs") or {})
    for key in ("img_size", "input_size"):
        if args.get(key) is not None:
            given.setdefault("img_size", args[key])
    prepared = {key: args[key] for key in PREPARATION if args.get(key) is not None}
    pooled = {"global_pool": args["gp"]} if args.get("gp") is not None else {}
    return {"architecture": arch, "model_args": given, "prepared": prepared, **pooled}


def _papers(said: Mapping[str, Any], model: Mapping[str, Any]) -> dict[str, Any]:
    """Of the paper's repository."""
    check(model, PAPER_MODEL, "the checkpoint's MODEL.")
    version = str(model.get("TYPE", "swin")).upper()
    network = _part(model, version)
    check(network, PAPER, f"the checkpoint's MODEL.{version}.")
    given = {name.lower(): value for name, value in network.items()}
    data, test = _part(said, "DATA"), _part(said, "TEST")
    if "IMG_SIZE" in data:
        given["img_size"] = data["IMG_SIZE"]
    prepared: dict[str, Any] = {}
    if "INTERPOLATION" in data and "img_size" in given:
        prepared["interpolation"] = data["INTERPOLATION"]
        if test.get("CROP", True):
            # The repository resizes to int(256 / 224 * size).
            size = side("IMG_SIZE", given["img_size"])
            prepared["crop_pct"] = size / int(256 / 224 * size)
        else:
            prepared |= {"crop_pct": 1.0, "crop_mode": "squash"}
    for name in ("in_chans", "qk_scale", "ape", "patch_norm"):
        given.pop(name, None)
    return {"model_args": given, "prepared": prepared}


def _part(settings: Any, name: str) -> Mapping[str, Any]:
    found = settings.get(name) if isinstance(settings, dict) else None
    return found if isinstance(found, dict) else {}


def _walk(settings: Any) -> Iterator[tuple[str, Any]]:
    """All settings by name in lower case, however they are nested."""
    level, left = [settings], MOST
    for _ in range(DEEPEST):
        below: list[Any] = []
        for group in level:
            for name, value in _items(group):
                inner = _unwrapped(value)
                listed = inner if isinstance(inner, list | tuple) else ()
                left -= 1 + len(listed)
                if left < 0:
                    return
                if isinstance(inner, dict):
                    below.append(inner)
                elif isinstance(name, str):
                    below.extend(listed)
                    yield name.lower(), inner
        level = below


def _items(group: Any) -> list[tuple[Any, Any]]:
    group = _unwrapped(group)
    return list(group.items()) if isinstance(group, dict) else []


def _unwrapped(value: Any) -> Any:
    """What an object of OmegaConf holds; anything else as it is."""
    for key in ("_content", "_val"):
        if isinstance(value, dict) and key in value:
            return value[key]
    return value
