"""`swin-embed`, or `python -m swin_embed`: everything, as one command.

Nothing that takes long is imported before a command is known.
"""

import sys
from collections.abc import Sequence
from typing import NamedTuple

import click

from model_export import __version__, console
from model_export.errors import ExportError
from service.errors import ArtifactError, DeviceError, ServiceError
from swin_embed.batch.errors import BatchError

FORESEEN = (ArtifactError, BatchError, DeviceError, ExportError, OSError, ServiceError)


class Listed(NamedTuple):
    """A command as it is listed, and where it is: `module:attribute`."""

    section: str
    place: str
    summary: str


COMMANDS = {
    "serve": Listed(
        "Serve", "swin_embed.cli.serve:command", "Answer images with vectors over HTTP."
    ),
    "export": Listed(
        "Models", "model_export.__main__:command", "Turn a checkpoint into an artifact."
    ),
    "inspect": Listed("Models", "model_export.__main__:inspect", "Say what is in an artifact."),
    "compare": Listed(
        "Models", "model_export.__main__:compare", "Say how far two artifacts are apart."
    ),
    "models": Listed("Models", "model_export.listing:command", "List the published models."),
    "embed": Listed(
        "Collections",
        "swin_embed.cli.embed:command",
        "Embed folders, buckets and tables of images.",
    ),
    "search": Listed(
        "Collections", "swin_embed.cli.search:command", "Find the images nearest to one."
    ),
    "explore": Listed(
        "Collections", "swin_embed.cli.explore:command", "Look at a collection in a browser."
    ),
    "duplicates": Listed(
        "Collections", "swin_embed.cli.duplicates:command", "Find near-duplicates."
    ),
    "doctor": Listed(
        "This machine",
        "swin_embed.cli.doctor:command",
        "Say what would be served here, or what is missing.",
    ),
    "tune": Listed(
        "This machine", "swin_embed.cli.tune:command", "Time layouts of threads on this CPU."
    ),
    "version": Listed("This machine", "swin_embed.__main__:version", "Print the version."),
}


class Commands(click.Group):
    """The commands in their sections, none of them imported to be listed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Their names."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        if cmd_name not in COMMANDS:
            return None
        return console.load(COMMANDS[cmd_name].place)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write each section's commands."""
        for section in dict.fromkeys(listed.section for listed in COMMANDS.values()):
            with formatter.section(section):
                formatter.write_dl(
                    (name.ljust(10), listed.summary)
                    for name, listed in COMMANDS.items()
                    if listed.section == section
                )


@click.command(cls=Commands)
@click.version_option(__version__, prog_name="swin-embed")
def command() -> None:
    """Image embeddings from Swin Transformers: serve them, embed collections, export models.

    `swin-embed COMMAND --help` tells more of each. For completion with Tab put into ~/.bashrc

        eval "$(_SWIN_EMBED_COMPLETE=bash_source swin-embed)"

    or zsh_source into ~/.zshrc; for fish: _SWIN_EMBED_COMPLETE=fish_source swin-embed | source
    """


@click.command
def version() -> None:
    """Print the version."""
    click.echo(__version__)


def main(arguments: Sequence[str] | None = None) -> int:
    return console.run(command, arguments, "swin-embed", FORESEEN)


if __name__ == "__main__":
    sys.exit(main())
