"""`swin-embed search DIR IMAGE...`: the nearest images of a collection."""

import json
import math
from dataclasses import asdict
from pathlib import Path

import click
import numpy as np

from model_export import console
from service.engine.embedder import unit_length
from service.settings import Settings
from service.types import Vector
from swin_embed.batch import sheet, sources
from swin_embed.batch.errors import OutputError, SourceError, reason
from swin_embed.batch.search import Index
from swin_embed.batch.text import plain, printed
from swin_embed.cli import engine
from swin_embed.cli.opening import matching, opened


@click.command
@click.argument("collection", metavar="DIR")
@click.argument("images", metavar="IMAGE...", nargs=-1, required=True)
@click.option(
    "-k", type=click.IntRange(min=1), metavar="N", default=10, help="how many (default: 10)"
)
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
@click.option("-0", "--null", is_flag=True, help="print the paths alone, each ended by a NUL byte")
@engine.options
def command(
    collection: str,
    images: tuple[str, ...],
    k: int,
    exact: bool,
    html: Path | None,
    index: Path | None,
    as_json: bool,
    null: bool,
    model: str | None,
    device: str | None,
) -> None:
    """Find the images in DIR nearest to IMAGE, a path or URL.

    DIR is what swin-embed wrote, or a folder of images. Of several IMAGEs, what is nearest to all
    of them together (to the mean of their vectors). In a pipe a line is a
    cosine, a tab and a path.

    The model is the one that made the vectors of DIR: the file that --model or SWIN_MODEL names, or
    one of that digest beside it.
    """
    settings = engine.settings(model, device)
    embedded = opened(collection, settings)
    folder = embedded.folder
    if index is None and not folder.local:
        raise OutputError(f"{folder.url} is not on this machine: say where its index goes, --index")
    queries = [_read(image) for image in images]
    vector = _mean(queries, matching(embedded.made(), settings, folder.url))
    found = Index.of(embedded, index or Path(folder.path) / "search")
    hits = found.nearest(vector, k, exact=exact)
    if as_json:
        click.echo(json.dumps([asdict(hit) for hit in hits]))
    elif null:
        click.echo("".join(f"{printed(hit.path)}\0" for hit in hits), nl=False)
    elif console.watched():
        rows = [(sheet.cosine(hit.cosine), plain(hit.path)) for hit in hits]
        click.echo(console.table(("cosine", "image"), rows))
    else:
        for hit in hits:
            click.echo(f"{sheet.cosine(hit.cosine)}\t{plain(hit.path)}")
    if html:
        page = sheet.hits(
            list(zip(queries, images, strict=True)), hits, folder.url, settings.max_image_pixels
        )
        html.write_text(page, "utf-8")
        click.echo(f"{html} is the contact sheet", err=True)


def _read(image: str) -> bytes:
    try:
        return sources.read(image)
    except (OSError, SourceError):
        raise
    except Exception as error:  # whatever its protocol raises
        raise SourceError(f"cannot read {image}: {reason(error)}") from error


def _mean(images: list[bytes], settings: Settings) -> Vector:
    """The mean direction of images' vectors, float32 `[dim]`, of unit length."""
    with engine.started(settings) as embedder:
        vectors = [unit_length(it.result().vector) for it in embedder.submit(images, math.inf)]
    return unit_length(np.mean(vectors, axis=0, dtype=np.float32))
