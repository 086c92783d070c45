"""Values of files that can hold anything: taken as what they should be, or refused in a line."""

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pydantic import ValidationError

from model_export.checkpoints.options.option import Only, Options
from model_export.errors import CheckpointError


@contextmanager
def refused_in_a_line(sentence: str) -> Iterator[None]:
    """Put whatever cannot be made of a file's values into a sentence.

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


def check(said: Mapping[str, Any], options: Options, where: str = "") -> None:
    """Refuse options that are not in a table, or not at a value that is computed with.

    Raises:
        ValueError: There is one; it is named.
    """
    for key, value in said.items():
        option = options.get(key)
        if option is None:
            raise ValueError(f"{where}{shown(key)} is not an option that the exporter knows")
        if isinstance(option, Only) and not any(_same(value, only) for only in option.values):
            only = ", ".join(map(str, option.values))
            instead = f": {option.instead}" if option.instead else ""
            raise ValueError(f"{where}{key} {shown(value)} is not built; only {only}{instead}")


def _same(value: Any, only: Any) -> bool:
    if isinstance(only, float):
        return _is_number(value) and math.isclose(value, only)
    return type(value) is type(only) and bool(value == only)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def shown(value: Any) -> str:
    """A value as an error shows it."""
    text = json.dumps(value) if isinstance(value, list | dict | None) else str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def one_of(built: Mapping[Any, str], key: str, said: Any) -> str:
    """What a value means, of those that are known.

    Raises:
        ValueError: It is another.
    """
    if not isinstance(said, str | int) or said not in built:
        raise ValueError(f"{key} {shown(said)} is not built; only {', '.join(map(str, built))}")
    return built[said]


def number(key: str, said: Any) -> float:
    """A number.

    Raises:
        ValueError: It is none.
    """
    if not _is_number(said):
        raise ValueError(f"{key} {shown(said)} is not a number")
    return float(said)


def side(key: str, size: Any, least: int = 1) -> int:
    """Side of a square given as a number, [height, width] or [channels, height, width].

    Raises:
        ValueError: It is not square, or no whole number from `least`.
    """
    sides = list(size[-2:]) if isinstance(size, list | tuple) and size else [size]
    if isinstance(size, list | tuple) and len(size) > 2 and size[:-2] not in ([3], (3,)):
        raise ValueError(f"{key} {shown(size)} is not of images with 3 channels")
    if sides[0] != sides[-1]:
        raise ValueError(f"{key} {shown(size)} is not square, which is all that is built")
    if not isinstance(sides[0], int) or isinstance(sides[0], bool) or sides[0] < least:
        raise ValueError(f"{key} {shown(size)} is not a whole number from {least}")
    return sides[0]


def of_each(key: str, given: Any, stages: int, least: int = 1) -> tuple[int, ...]:
    """A side for each stage.

    Raises:
        ValueError: Not as many as stages, or not all of them sides.
    """
    if not isinstance(given, list | tuple) or len(given) != stages:
        raise ValueError(f"{key} {shown(given)} is not for {stages} stages")
    return tuple(side(key, item, least) for item in given)
