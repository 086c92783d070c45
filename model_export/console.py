"""How our commands end: an exit status, and a line `error: ...` that says what to do.

Statuses: 0 done; 1 it could not be done; 2 a wrong argument, option or setting; 3 done, but some
images have an error in place of a vector; 130 interrupted.
"""

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from types import MappingProxyType

import click

FAILED = 1
PARTLY = 3
INTERRUPTED = 130


class SettingsError(click.ClickException):
    """Options or settings that cannot be used; `problems` has a line for each."""

    exit_code = 2

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


def run(
    command: click.Command,
    arguments: Sequence[str] | None,
    name: str,
    foreseen: tuple[type[Exception], ...] = (),
    others: Mapping[str, str] = MappingProxyType({}),
) -> int:
    """Run a command to its exit status.

    Args:
        command: what to run; what it returns is the status, None is 0.
        arguments: of the command line; None is this process's.
        name: what was typed to get here, such as `python -m service`.
        foreseen: errors whose message is one line that says what to do.
        others: commands that the first argument may name in place of `command`, and their places.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    place = others.get("".join(given[:1]))
    if place is not None:
        name = f"{name} {given.pop(0)}"
    try:
        chosen = command if place is None else load(place)
        return chosen.main(given, name, standalone_mode=False) or 0
    except SettingsError as error:
        complain(*error.problems)
        return error.exit_code
    except click.UsageError as error:
        where = f"; {error.ctx.command_path} --help tells more" if error.ctx else ""
        complain(error.format_message().rstrip(".") + where)
        return error.exit_code
    except ModuleNotFoundError as error:
        from model_export import extras  # takes long to import, and is seldom needed

        what = " ".join([name, *given[:1]]) if isinstance(command, click.Group) else name
        if (message := extras.missing(error, what)) is None:
            raise
        complain(message)
        return FAILED
    except foreseen as error:
        complain(" ".join(_words(error).split()) or type(error).__name__)
        return FAILED
    except click.Abort:
        complain("interrupted")
        return INTERRUPTED


def _words(error: Exception) -> str:
    """What an error says, of a file without its number."""
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return str(error)


def load(place: str) -> click.Command:
    """Import the command at a place, `module:attribute`."""
    module, attribute = place.split(":")
    command: click.Command = getattr(import_module(module), attribute)
    return command


def watched() -> bool:
    """Whether a person reads what is printed: it goes to a terminal."""
    return sys.stdout.isatty()


def bold(text: str, colour: str | None = None) -> str:
    """Text that stands out where a person reads it."""
    shown = watched() and not os.environ.get("NO_COLOR")
    return click.style(text, fg=colour, bold=True) if shown else text


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A line for each row after a line of headings, in aligned columns.

    A terminal has the columns that fit its width, from the left, and is told which do not.
    """
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    shown = len(header)
    if watched():
        room = shutil.get_terminal_size().columns
        while shown > 1 and sum(widths[:shown]) + 2 * (shown - 1) > room:
            shown -= 1

    def line(cells: Sequence[str]) -> str:
        aligned = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
        return "  ".join(list(aligned)[:shown]).rstrip()

    lines = [bold(line(header)), *map(line, rows)]
    if shown < len(header):
        lines.append(f"In a wider terminal, or a pipe: {', '.join(header[shown:])}")
    return "\n".join(lines)


def complain(*problems: str) -> None:
    """A line on standard error for each problem."""
    for problem in problems:
        click.echo(f"error: {problem}", err=True)
