"""`swin-embed duplicates DIR`: find near-duplicates."""

import json
from dataclasses import asdict

import click

from swin_embed.batch import duplicates
from swin_embed.batch.collection import Collection
from swin_embed.batch.folder import Folder


@click.command
@click.argument("collection", metavar="DIR")
@click.option(
    "--threshold",
    default=0.85,
    show_default=True,
    metavar="COSINE",
    help="least cosine of a pair; see docs/collections.md",
)
@click.option("--output", metavar="DIR", help="where to write (default: DIR/duplicates)")
@click.option("--json", "as_json", is_flag=True, help="print a summary on standard output")
def command(collection: str, threshold: float, output: str | None, as_json: bool) -> None:
    """Find near-duplicates in DIR, which swin-embed wrote.

    Pairs of images above a cosine, and their groups.
    """
    embedded = Collection.at(collection)
    written = Folder.at(output or f"{embedded.folder.url}/duplicates")
    found = duplicates.find(embedded, threshold, written)
    click.echo(
        f"{found.pairs} pairs and {found.groups} groups of {found.grouped} images, of "
        f"{found.images}; {written.url}/pairs.parquet, groups.parquet",
        err=True,
    )
    if as_json:
        click.echo(json.dumps(asdict(found)))
