"""`swin-embed serve [NAME]`: answer images with vectors over HTTP."""

from typing import Any

import click

from model_export import listing
from service.__main__ import serve
from service.command_line import GroupedCommand, settings_from, with_settings
from swin_embed.artifacts import Precision
from swin_embed.cli import engine


@click.command(cls=GroupedCommand)
@click.argument("name", required=False, shell_complete=listing.complete)
@click.option(
    "--weights",
    metavar="FILE|random",
    help="of the published model NAME, where they are not its own: a checkpoint, or random",
)
@engine.precision
@with_settings
@engine.model
def command(
    name: str | None,
    weights: str | None,
    precision: Precision | None,
    **given: Any,  # noqa: ANN401 - every setting
) -> int:
    """Answer images with vectors over HTTP.

    NAME is a published model (`swin-embed models` lists them), a checkpoint (a file, a folder,
    hf://ORG/REPOSITORY[@REVISION]) or an .onnx file. It is made at the first start and kept in
    SWIN_HOME. Without a name it is SWIN_MODEL, or else the small model that comes with swin-embed.

    Each option of a group below can also be set in the environment: --max-batch-size 8 is
    SWIN_MAX_BATCH_SIZE=8. Where both are given the option counts.
    """
    if name is not None and given["model"] is not None:
        raise click.UsageError(f"{name} and --model {given['model']}: which of them?")
    model = given.pop("model") or name
    settings = engine.with_artifact(settings_from(**given), model, weights, precision)
    return serve(settings)
