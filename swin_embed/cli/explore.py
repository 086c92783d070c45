"""`swin-embed explore DIR`: a local page over a collection."""

import hashlib
import os
import socket
import webbrowser
from pathlib import Path

import click
import uvicorn

from swin_embed.batch import duplicates, library
from swin_embed.batch.collection import Collection
from swin_embed.cli import engine
from swin_embed.cli.opening import matching, opened
from swin_embed.explore.app import create
from swin_embed.explore.arrangement import Arrangement
from swin_embed.explore.catalog import Catalog
from swin_embed.explore.query import Query
from swin_embed.explore.thumbnails import Thumbnails


@click.command
@click.argument("collection", metavar="DIR")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    metavar="N",
    default=0,
    help="of 127.0.0.1 (default: a free one)",
)
@click.option("--browser/--no-browser", default=True, help="open the page in a browser")
@engine.options
def command(
    collection: str, port: int, browser: bool, model: str | None, device: str | None
) -> None:
    """Look at a collection: what swin-embed wrote, or a folder of images.

    A page on this machine alone, with a map of the images, their clusters, duplicates and what
    stands out, search by image and by name. What is computed lies in DIR/explore, or in the user's
    cache where DIR is not on this machine.
    """
    settings = engine.settings(model, device)
    embedded = opened(collection, settings)
    kept = _cache(embedded)
    catalog = Catalog.of(embedded, kept)
    arrangement = Arrangement(catalog.folder, catalog.vectors)
    thumbnails = Thumbnails(kept / "thumbnails.sqlite", settings.max_image_pixels)
    query = Query(lambda: matching(embedded.made(), settings, embedded.folder.url))
    arrangement.start()
    listener = socket.create_server(("127.0.0.1", port))
    port = listener.getsockname()[1]
    app = create(
        catalog,
        arrangement,
        thumbnails,
        query.embed,
        lambda threshold: duplicates.find(embedded, threshold),
        port,
    )
    address = f"http://127.0.0.1:{port}/"
    click.echo(f"{catalog.count} images at {address} (Ctrl+C ends it)", err=True)
    if browser:
        webbrowser.open(address)
    try:
        config = uvicorn.Config(app, log_level="warning", server_header=False, lifespan="off")
        uvicorn.Server(config).run(sockets=[listener])
    finally:
        arrangement.close()
        thumbnails.close()
        query.close()


def _cache(collection: Collection) -> Path:
    """Where what is computed of a collection is kept: in it, where one can write."""
    folder = collection.folder
    if folder.local and os.access(folder.path, os.W_OK):
        return Path(folder.path) / "explore"
    return library.cache() / "explore" / hashlib.sha256(folder.url.encode()).hexdigest()[:24]
