"""`swin-embed search DIR IMAGE`: the nearest images of a collection."""

import json
import math
from dataclasses import asdict
from pathlib import Path

import click

from service.engine.embedder import unit_length
from swin_embed.batch import sheet, sources
from swin_embed.batch.collection import Collection
from swin_embed.batch.errors import OutputError
from swin_embed.batch.search import Index
from swin_embed.cli import engine


@click.command
@click.argument("collection", metavar="DIR")
@click.argument("image")
@click.option("-k", type=click.IntRange(min=1), default=10, show_default=True, help="how many")
@click.option("--exact", is_flag=True, help="compare with every vector")
@click.option(
    "--html", type=click.Path(path_type=Path), metavar="FILE", help="write a contact sheet"
)
@click.option(
    "--index",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="where the index is (default: DIR/search)",
)
@click.option("--json", "as_json", is_flag=True, help="print the hits as JSON")
@engine.options
def command(
    collection: str,
    image: str,
    k: int,
    exact: bool,
    html: Path | None,
    index: Path | None,
    as_json: bool,
    model: str | None,
    device: str | None,
) -> None:
    """Find the images in DIR, which swin-embed wrote, nearest to IMAGE, a path or URL."""
    embedded = Collection.at(collection)
    folder = embedded.folder
    if index is None and not folder.local:
        raise OutputError(f"{folder.url} is not on this machine: say where its index goes, --index")
    query = sources.read(image)
    recipe = embedded.made()
    settings = engine.settings(model, device)
    with engine.started(settings) as embedder:
        if embedder.model.digest != recipe.digest:
            raise OutputError(
                f"{folder.url} holds vectors of {recipe.card.name} ({recipe.digest[:12]}), and "
                f"--model is {embedder.card.name} ({embedder.model.digest[:12]})"
            )
        (future,) = embedder.submit([query], math.inf)
        vector = unit_length(future.result().vector)
    found = Index.of(embedded, index or Path(folder.path) / "search")
    hits = found.nearest(vector, k, exact=exact)
    if as_json:
        click.echo(json.dumps([asdict(hit) for hit in hits]))
    else:
        for hit in hits:
            click.echo(f"{hit.cosine:.4f}  {hit.path}")
    if html:
        html.write_text(sheet.page(query, image, hits, folder.url, settings.max_image_pixels))
        click.echo(f"{html} is the contact sheet", err=True)
