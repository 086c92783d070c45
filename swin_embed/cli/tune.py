"""`swin-embed tune`: the threads to run a model on, by trying them."""

import click

from service import tune
from service.engine import model as models
from swin_embed.cli import engine


@click.command
@engine.model
@tune.seconds
def command(model: str | None, seconds: float) -> None:
    """Try layouts of streams and threads on this CPU, and print the settings to use."""
    settings = engine.with_artifact(engine.settings(None, None), model)
    for line in tune.report(models.existing(settings.model), seconds):
        click.echo(line)
