"""OpenMMLab's configurations, which its checkpoints keep as Python source: read, never run."""

import ast
from collections.abc import Iterator
from typing import Any

LONGEST = 256 * 1024
"""Characters of a configuration that is read; mmdetection's have 20,000."""


def swins(text: str) -> list[dict[str, Any]]:
    """The Swins that a configuration makes, each by its options; none if the text is no Python.

    Raises:
        ValueError: The text is too long.
    """
    if len(text) > LONGEST:
        raise ValueError(f"its configuration has more than {LONGEST >> 10} KiB; remove it")
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    found = []
    for options in _dictionaries(tree):
        kind = options.pop("type", None)
        if isinstance(kind, str) and kind.rpartition(".")[2].startswith("SwinTransformer"):
            found.append(_with_window(options))
    return found


def _with_window(options: dict[str, Any]) -> dict[str, Any]:
    """The options, with mmpretrain's other way to say the window said as usual."""
    nested = options.get("stage_cfgs")
    window = nested.get("block_cfgs") if isinstance(nested, dict) and len(nested) == 1 else None
    if isinstance(window, dict) and window.keys() == {"window_size"}:
        return {name: v for name, v in options.items() if name != "stage_cfgs"} | window
    return options


def _dictionaries(tree: ast.AST) -> Iterator[dict[str, Any]]:
    for node in ast.walk(tree):
        items = _items(node)
        if items is not None:
            yield {key: _value(value) for key, value in items.items()}


def _items(node: ast.AST) -> dict[str, ast.expr] | None:
    """Items of `dict(name=...)` and `{"name": ...}`; None for anything else."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "dict":
        return {keyword.arg: keyword.value for keyword in node.keywords if keyword.arg}
    if isinstance(node, ast.Dict):
        return {
            str(key.value): value
            for key, value in zip(node.keys, node.values, strict=True)
            if isinstance(key, ast.Constant)
        }
    return None


def _value(node: ast.expr, deepest: int = 4) -> Any:
    """A plain value; of anything else its source, which is no value of any option."""
    items = _items(node)
    if items is not None and deepest:
        return {key: _value(value, deepest - 1) for key, value in items.items()}
    if isinstance(node, ast.List | ast.Tuple) and deepest:
        return [_value(value, deepest - 1) for value in node.elts]
    if isinstance(node, ast.Constant):
        return node.value
    return "an expression"
