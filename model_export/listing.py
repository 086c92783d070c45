"""The catalogue as a table."""

import click
from click.shell_completion import CompletionItem

from model_export import console
from model_export.catalog import CATALOG, Entry
from model_export.network.parameters import parameter_count

HEADER = ("name", "parameters", "fp32", "dimensions", "input", "licence", "weights")


def table() -> str:
    """Every published model: a line each, after a line of headings."""
    return console.table(HEADER, [_row(entry) for entry in CATALOG])


def complete(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """What a shell offers for the start of a model's name: published names, and files."""
    names = [entry.name for entry in CATALOG if entry.name.startswith(incomplete)]
    return [*map(CompletionItem, names), CompletionItem(incomplete, type="file")]


def _row(entry: Entry) -> tuple[str, ...]:
    architecture = entry.architecture
    parameters = parameter_count(architecture)
    return (
        entry.name,
        f"{parameters / 1e6:.1f} M",
        f"{parameters * 4 / 1e6:.0f} MB",
        str(architecture.embedding_dim),
        f"{architecture.image_size} x {architecture.image_size}",
        entry.licence or "-",
        f"hf://{entry.repository}" if entry.repository else entry.elsewhere,
    )


@click.command
def command() -> None:
    """List the published models."""
    click.echo(table())
