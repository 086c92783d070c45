"""Reads the settings from the command line and the environment, and reports what is wrong."""

import difflib
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, cast, get_args, get_origin

import click
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from model_export import __version__
from model_export.console import SettingsError
from service.settings import PREFIX, Settings

SERVICE_LINK = re.compile(
    r"SWIN_EMBED_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_\w+)?)?)"
)
"""The variables in which Kubernetes announces Services named `swin-embed` and the like."""

GROUPS = cast(tuple[type[BaseModel], ...], Settings.__bases__[-2::-1])
"""The settings by what they are for."""


class Setting(click.Option):
    """An option for a setting; what is wrong with its value, the settings say themselves."""

    def __init__(self, name: str, field: FieldInfo, group: str) -> None:
        self.group = group
        words = name.replace("_", "-")
        kind, metavar = _kind(name, field.annotation)
        super().__init__(
            [f"--{words}/--no-{words}" if kind is bool else f"--{words}"],
            default=None,
            type=kind,
            metavar=metavar,
            help=f"{field.description}{_default(field.default)}",
        )


class GroupedCommand(click.Command):
    """A command whose `--help` has its settings by groups."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options of each group under its name."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx) if isinstance(param, click.Option) else None
            if record is not None:  # the text above tells of arguments
                groups.setdefault(getattr(param, "group", "Options"), []).append(record)
        for name, records in groups.items():
            with formatter.section(name):
                formatter.write_dl(records)


def with_settings(function: Callable[..., int]) -> Callable[..., int]:
    """Have a command take every setting as an option; pass them on to `settings_from`.

    An option that the function has already stands for the setting of its name.
    """
    given = [param.name for param in getattr(function, "__click_params__", [])]
    options = [
        Setting(name, field, group.__name__)
        for group in GROUPS
        for name, field in group.model_fields.items()
        if name not in given
    ]
    function.__click_params__ = [  # type: ignore[attr-defined]
        *options[::-1],
        *getattr(function, "__click_params__", []),
    ]
    return click.version_option(__version__, prog_name="swin-embed")(function)


def settings_from(**given: Any) -> Settings:  # noqa: ANN401 - as many types as there are settings
    """Settings with these values; those that are None come from the environment.

    Raises:
        SettingsError: some are wrong.
    """
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        raise SettingsError(list(_problems(error))) from error


def misspelt(environment: Iterable[str]) -> Iterator[str]:
    """A warning for each variable that looks like a setting but is not one."""
    known = [f"{PREFIX}{name.upper()}" for name in Settings.model_fields]
    for name in sorted(environment):
        spelt = name.upper()  # which counts in any case
        if spelt.startswith(PREFIX) and spelt not in known and not SERVICE_LINK.fullmatch(spelt):
            close = difflib.get_close_matches(spelt, known, 1, cutoff=0.75)
            yield f"{name} is not a setting" + "".join(f"; is {one} meant?" for one in close)


def _problems(error: ValidationError) -> Iterator[str]:
    for problem in error.errors():
        message = problem["msg"].removeprefix("Value error, ")
        named = problem["loc"][:1]  # no setting by itself, if several do not fit each other
        yield "".join(f"{PREFIX}{str(name).upper()}: " for name in named) + message


def _kind(name: str, annotation: Any) -> tuple[Any, str | None]:  # noqa: ANN401
    """What click makes of a setting's value, and what stands for it in the help."""
    kinds = {annotation, *get_args(annotation)}
    if get_origin(annotation) is Literal:
        return click.Choice(get_args(annotation), case_sensitive=False), None
    if annotation is bool:
        return bool, None
    if Path in kinds:
        return click.Path(), "PATH"
    if get_origin(annotation) is tuple:
        return str, "LIST"
    return str, name.upper() if str in kinds else "N"


def _default(value: object) -> str:
    told = isinstance(value, str | int) and value is not False and value != ""
    return f" (default: {value})" if told else ""
