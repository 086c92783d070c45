"""`swin-embed serve`: answer images with vectors over HTTP."""

from typing import Any

import click

from service.__main__ import serve
from service.command_line import GroupedCommand, settings_from, with_settings


@click.command(cls=GroupedCommand)
@with_settings
def command(**given: Any) -> int:  # noqa: ANN401 - every setting
    """Answer images with vectors over HTTP.

    Each option can also be set in the environment: --max-batch-size 8 is SWIN_MAX_BATCH_SIZE=8.
    Where both are given the option counts.
    """
    return serve(settings_from(**given))
