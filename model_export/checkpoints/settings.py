"""Settings that training scripts keep in a checkpoint, as far as they concern the network.

Those of timm's training script and of the paper's repository are read: they say which network it
is. Settings of other scripts can be anything, and only what contradicts the network is refused.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from model_export.checkpoints.options import (
    PAPER,
    PAPER_MODEL,
    PREPARATION,
    TRAINING_SETTINGS,
)
from model_export.checkpoints.values import check, side

KEPT = ("args", "config", "cfg", "hparams", "hyper_parameters", "opt", "options")
"""Where training scripts put their settings."""

DEEPEST = 8
MOST = 100_000
"""Settings that are looked at: how deep, and how many."""


def configuration(kept: Mapping[str, Any]) -> dict[str, Any]:
    """What settings in a checkpoint say, in the form of timm's config.json; nothing if nothing.

    Raises:
        ValueError: They say something of the network that is not built; it is named.
    """
    for key in KEPT:
        for name, value in _walk(kept.get(key)):
            if name in TRAINING_SETTINGS:
                check({name: value}, TRAINING_SETTINGS, f"the checkpoint's {key}: ")
    for key in ("config", "cfg"):
        model = _part(kept.get(key), "MODEL")
        if "SWIN" in model or "SWINV2" in model:
            return _papers(kept[key], model)
    return _timms(kept)


def _timms(kept: Mapping[str, Any]) -> dict[str, Any]:
    """Of timm's train.py: the architecture's name, and arguments that differ from its own."""
    arch = kept.get("arch")
    args = kept.get("args")
    args = args if isinstance(args, dict) else {}
    if not isinstance(arch, str):
        return {}
    given = dict(args.get("model_kwargs") or {})
    if args.get("img_size") is not None:
        given.setdefault("img_size", args["img_size"])
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
                left -= 1
                if left < 0:
                    return
                inner = _unwrapped(value)
                if isinstance(inner, dict):
                    below.append(inner)
                elif isinstance(name, str):
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
