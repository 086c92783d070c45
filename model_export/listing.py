"""The catalogue as a table."""

import click

from model_export.catalog import CATALOG, Entry
from model_export.network.parameters import parameter_count

HEADER = ("name", "parameters", "fp32", "dimensions", "input", "licence", "weights")


def table() -> str:
    """Every published model: a line each, after a line of headings."""
    rows = [HEADER, *map(_row, CATALOG)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADER))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


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
