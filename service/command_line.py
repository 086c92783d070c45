"""Settings from the command line and the environment, and what to say where they are wrong."""

import argparse
import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from pydantic import ValidationError
from pydantic_settings import CliApp, CliSettingsSource

from service.settings import PREFIX, Settings

SERVICE_LINKS = "SWIN_EMBED_"
"""Kubernetes tells all containers of a namespace of the Service `swin-embed` in such variables."""


class SettingsError(Exception):
    """The settings cannot be used; `problems` has a line for each that is wrong."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class _Help(argparse.RawDescriptionHelpFormatter):
    """`--help` in words: where no value has a meaning of its own, the description says it."""

    def _get_help_string(self, action: argparse.Action) -> str:
        return re.sub(r" \(default(: null|: \(\)| factory: \w+)\)", "", action.help or "")

    def _metavar_formatter(
        self, action: argparse.Action, default_metavar: str
    ) -> Callable[[int], tuple[str, ...]]:
        given = super()._metavar_formatter(action, default_metavar)
        return lambda size: tuple(re.sub(r"tuple\[.*", "LIST", name) for name in given(size))


def read(arguments: Sequence[str]) -> Settings:
    """The settings from command line arguments and the environment.

    Raises:
        SettingsError: some are wrong.
        SystemExit: `--help` was asked for, or an argument is not known; argparse said so.
    """
    source = CliSettingsSource[Settings](Settings, formatter_class=_Help)
    with _told():
        return CliApp.run(Settings, cli_args=list(arguments), cli_settings_source=source)


def of(**given: Any) -> Settings:  # noqa: ANN401 - as many types as there are settings
    """The settings that are given, the rest from the environment.

    Raises:
        SettingsError: some are wrong.
    """
    with _told():
        return Settings(**given)


@contextmanager
def _told() -> Iterator[None]:
    """What is wrong with settings, in words."""
    try:
        yield
    except ValidationError as error:
        raise SettingsError(list(_problems(error))) from error


def _problems(error: ValidationError) -> Iterator[str]:
    for problem in error.errors():
        message = problem["msg"].removeprefix("Value error, ")
        named = problem["loc"][:1]  # no setting by itself, if several do not fit each other
        yield "".join(f"{PREFIX}{str(name).upper()}: " for name in named) + message


def misspelt(environment: Iterable[str]) -> Iterator[str]:
    """A line for each name in the environment that looks like a setting and is none."""
    known = [f"{PREFIX}{name.upper()}" for name in Settings.model_fields]
    for name in sorted(set(environment).difference(known)):
        if name.startswith(PREFIX) and not name.startswith(SERVICE_LINKS):
            close = difflib.get_close_matches(name, known, 1, cutoff=0.8)
            yield f"{name} is not a setting" + "".join(f"; is {one} meant?" for one in close)
