"""Where in a checkpoint the weights lie: training scripts put them under one key or another."""

from typing import Any

from model_export.checkpoints.formats.pickled_objects import Array, Settings, View
from model_export.errors import CheckpointError

Tensors = dict[str, View | Array]

AVERAGED = ("state_dict_ema", "model_ema", "ema_state_dict", "ema", "teacher")
"""Where training scripts put averages of the weights, which are what is evaluated."""

CONTAINERS = (
    *("state_dict", "model_state_dict", "model", "module", "student"),
    *("network", "net", "backbone", "encoder", "weights"),
)
"""Where they put the weights."""

DEEPEST = 8
"""Containers inside one another, at most."""

SHOWN = 8
"""Names that a message lists, at most."""


def weights(content: object) -> tuple[Tensors, str | None]:
    """The tensors among what a file holds, wherever training scripts put them, and where.

    Raises:
        CheckpointError: There are none, or several sets of them and nothing tells which to take.
    """
    keys: list[str] = []
    while isinstance(content, dict) and len(keys) < DEEPEST:
        if (key := _container(content)) is None:
            break
        keys.append(key)
        content = content[key]
    if len(keys) == DEEPEST:
        raise CheckpointError(f"refused: its weights lie {DEEPEST} dictionaries deep or deeper")
    if not isinstance(content, dict):
        raise CheckpointError(
            f"holds a {type(content).__name__}, not weights by name; "
            "save model.state_dict() instead"
        )
    if tensors := _tensors(content):
        return tensors, ".".join(keys) or None
    names = [name for name in content if isinstance(name, str)]
    found = ", ".join(name[:80] for name in names[:SHOWN]) or "nothing"
    if any("optim" in name for name in names) or {"state", "param_groups"} <= content.keys():
        raise CheckpointError(
            f"holds the state of an optimiser and no weights (found {found}); "
            "give the file with the model's weights"
        )
    raise CheckpointError(f"holds no weights (found {found}); give a file of weights by name")


def _container(content: dict[Any, Any]) -> str | None:
    """The dictionary in which the weights are, of those in a dictionary; None if in none.

    Raises:
        CheckpointError: They are in several, and nothing tells which it is.
    """
    averaged, plain = (
        [key for key in names if _has_tensors(content.get(key))] for names in (AVERAGED, CONTAINERS)
    )
    meta = content.get("meta")
    if isinstance(meta, dict) and "mmengine_version" in meta and "state_dict" in plain:
        return "state_dict"  # MMEngine puts the average there, and the others in ema_state_dict
    tensors = {key: _tensors(content[key]) for key in (*averaged, *plain)}
    shapes = [sorted(tensor.shape for tensor in those.values()) for those in tensors.values()]
    if "teacher" in averaged and any(other != shapes[0] for other in shapes):
        averaged, plain = [], averaged + plain  # a network that another one learns from
    there = averaged or plain
    if any(tensors[key] != tensors[there[0]] for key in there):
        raise CheckpointError(
            f"holds weights under {' and '.join(map(repr, there))}: save those that you mean alone"
        )
    return there[0] if there else None


def _has_tensors(value: object) -> bool:
    """Whether there are tensors in a dictionary, or in containers in it."""
    looked_at: dict[int, object] = {}
    left = [value]
    while left:
        value = left.pop()
        if not isinstance(value, dict) or isinstance(value, Settings) or id(value) in looked_at:
            continue
        if _tensors(value):
            return True
        looked_at[id(value)] = value
        left += [value.get(key) for key in (*AVERAGED, *CONTAINERS)]
    return False


def _tensors(content: dict[Any, Any]) -> Tensors:
    return {n: v for n, v in content.items() if isinstance(v, View | Array) and isinstance(n, str)}
