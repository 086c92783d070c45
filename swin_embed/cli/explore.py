"""`swin-embed explore DIR`: a local page over a collection."""

import math
import os
import socket
import threading
import webbrowser
from pathlib import Path

import click
import uvicorn

from service.engine.embedder import Embedder, unit_length
from service.observability.observer import Observer
from service.settings import Settings
from service.types import Vector
from swin_embed.batch import duplicates, library
from swin_embed.batch.collection import Collection
from swin_embed.cli import engine
from swin_embed.cli.opening import matching, opened
from swin_embed.explore.app import create
from swin_embed.explore.arrangement import Arrangement
from swin_embed.explore.catalog import Catalog
from swin_embed.explore.thumbnails import Thumbnails


@click.command
@click.argument("collection", metavar="DIR")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, help="of 127.0.0.1 (default: a free one)"
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
    query = Query(embedded, settings)
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
    click.echo(f"{len(catalog.pictures)} images at {address} (Ctrl+C ends it)", err=True)
    if browser:
        webbrowser.open(address)
    try:
        config = uvicorn.Config(app, log_level="warning", server_header=False, lifespan="off")
        uvicorn.Server(config).run(sockets=[listener])
    finally:
        arrangement.close()
        thumbnails.close()
        query.close()


class Query:
    """Embeds what is searched for, with the model that made the collection; started when needed."""

    def __init__(self, collection: Collection, settings: Settings) -> None:
        self._collection = collection
        self._settings = settings
        self._lock = threading.Lock()
        self._embedder: Embedder | None = None

    def embed(self, image: bytes) -> Vector:
        """An image's vector, float32 `[dim]`, of unit length.

        Raises:
            OutputError: the model that made the collection is not at hand.
            ServiceError: the image cannot be embedded.
        """
        with self._lock:
            if self._embedder is None:
                made = self._collection.made()
                settings = matching(made, self._settings, self._collection.folder.url)
                self._embedder = Embedder(settings, Observer())
        (future,) = self._embedder.submit([image], math.inf)
        return unit_length(future.result().vector)

    def close(self) -> None:
        if self._embedder is not None:
            self._embedder.close()


def _cache(collection: Collection) -> Path:
    """Where what is computed of a collection is kept: beside it, where one can write."""
    folder = collection.folder
    if folder.local and os.access(folder.path, os.W_OK):
        return Path(folder.path) / "explore"
    return library.cache() / "explore"
