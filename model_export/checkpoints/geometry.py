"""The shape of a network as options give it: whether it is that of the tensors."""

from collections.abc import Mapping
from typing import Any

from model_export.checkpoints.values import of_each, shown
from model_export.network.architecture import Architecture


def shape_of(architecture: Architecture) -> dict[str, Any]:
    """A published architecture as options of a constructor, without windows and image size."""
    return {
        "patch_size": architecture.patch_size,
        "embed_dim": architecture.channels,
        "depths": list(architecture.depths),
        "num_heads": list(architecture.heads),
    }


def windows_of(given: Any, stages: int) -> tuple[int, ...]:
    """Window of each stage, of a number or a pair for all of them, as timm does, or a sequence.

    Raises:
        ValueError: It is none of them.
    """
    if not isinstance(given, list | tuple) or len(given) == 2:
        given = [given] * stages
    return of_each("window_size", given, stages)


def agree(given: Mapping[str, Any], architecture: Architecture) -> None:
    """Refuse what is said of the network's shape if the tensors have another.

    Raises:
        ValueError: They have; the option is named.
    """
    for key, fact in shape_of(architecture).items():
        value = given.get(key, fact)
        value = list(value) if isinstance(value, tuple) else value
        if value != fact and not (key == "patch_size" and value == [fact, fact]):
            raise ValueError(f"{key} is {shown(value)}, and its tensors have {shown(fact)}")
    ratio = given.get("mlp_ratio")
    hidden = architecture.stage_hidden(0)
    if ratio is not None and int(architecture.channels * ratio) != hidden:
        raise ValueError(f"mlp_ratio {shown(ratio)} is not that of its tensors, {hidden} channels")
    channels = map(architecture.stage_channels, range(len(architecture.depths)))
    widths = {c // h for c, h in zip(channels, architecture.heads, strict=True)}
    if given.get("head_dim") is not None and widths != {given["head_dim"]}:
        raise ValueError(f"head_dim {shown(given['head_dim'])} is not channels / heads")
