"""`swin-embed doctor`: what `swin-embed serve` would do here. It runs with nothing but the base
installation, to say what is missing."""

import json
import platform
from typing import Any

import click

from model_export import __version__, console, extras
from model_export.console import SettingsError
from model_export.errors import ExportError
from service.command_line import GroupedCommand, settings_from, with_settings
from service.errors import ArtifactError
from swin_embed.cli import engine


@click.command(cls=GroupedCommand)
@click.option("--json", "as_json", is_flag=True, help="as JSON")
@with_settings
@engine.model
def command(as_json: bool, **given: Any) -> int:  # noqa: ANN401 - every setting
    """Say what `swin-embed serve` would do here, or what is missing.

    The model is made if that has not been done yet, and embeds one image, without opening a port.
    Status 0 if the service would start with these settings, else 1.
    """
    try:
        return _examine(as_json, given)
    except ModuleNotFoundError as error:
        if (problem := extras.missing(error, "swin-embed serve")) is None:
            raise
    versions = {"swin-embed": __version__, "python": platform.python_version()}
    report = {"problems": [problem], "versions": versions | {"platform": platform.platform()}}
    lines = [f"problems\n  {problem}", *(f"{name} {text}" for name, text in versions.items())]
    click.echo(json.dumps(report, indent=2) if as_json else "\n".join(lines))
    return console.FAILED


def _examine(as_json: bool, given: dict[str, Any]) -> int:
    from service import doctor

    report: dict[str, Any] = {}
    try:
        settings = engine.with_artifact(settings_from(**given | {"model": None}), given["model"])
        given["model"] = settings.model
    except SettingsError:
        pass  # which is a problem in the report
    except (ArtifactError, ExportError) as error:
        report["problems"] = [str(error)]
    report = doctor.examine(**given) | report
    click.echo(doctor.page(report, as_json=as_json))
    return console.FAILED if report["problems"] else 0
