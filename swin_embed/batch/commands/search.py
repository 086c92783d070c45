"""`swin-embed search OUTPUT IMAGE`: the nearest images of a collection."""

import argparse
import json
import math
import sys
from dataclasses import asdict
from pathlib import Path

from service.engine.embedder import unit_length
from swin_embed.batch import sheet, sources
from swin_embed.batch.collection import Collection
from swin_embed.batch.commands import engine
from swin_embed.batch.commands.numbers import positive
from swin_embed.batch.errors import OutputError
from swin_embed.batch.search import Index


def parser() -> argparse.ArgumentParser:
    given = argparse.ArgumentParser(
        "swin-embed search", description="Find the images of a collection nearest to one."
    )
    given.add_argument("collection", metavar="OUTPUT", help="what swin-embed wrote")
    given.add_argument("image", metavar="IMAGE", help="path or URL of the image to search for")
    given.add_argument("-k", type=positive, default=10, help="how many (default: %(default)s)")
    given.add_argument("--exact", action="store_true", help="compare with every vector")
    given.add_argument("--html", type=Path, metavar="FILE", help="write a contact sheet")
    given.add_argument(
        "--index", type=Path, metavar="DIR", help="where the index is (default: OUTPUT/search)"
    )
    given.add_argument("--json", action="store_true", help="print the hits as JSON")
    engine.add_arguments(given)
    return given


def run(options: argparse.Namespace) -> int:
    """Print the nearest images, and write the contact sheet."""
    collection = Collection.at(options.collection)
    folder = collection.folder
    if options.index is None and not folder.local:
        raise OutputError(f"{folder.url} is not on this machine: say where its index goes, --index")
    query = sources.read(options.image)
    recipe = collection.made()
    with engine.started(options) as embedder:
        if embedder.model.digest != recipe.digest:
            raise OutputError(
                f"{folder.url} holds vectors of {recipe.card.name} ({recipe.digest[:12]}), and "
                f"--model is {embedder.card.name} ({embedder.model.digest[:12]})"
            )
        (future,) = embedder.submit([query], math.inf)
        vector = unit_length(future.result().vector)
    index = Index.of(collection, options.index or Path(folder.path) / "search")
    hits = index.nearest(vector, options.k, exact=options.exact)
    if options.json:
        print(json.dumps([asdict(hit) for hit in hits]))
    else:
        for hit in hits:
            print(f"{hit.cosine:.4f}  {hit.path}")
    if options.html:
        options.html.write_text(sheet.page(query, options.image, hits, folder.url))
        print(f"{options.html} is the contact sheet", file=sys.stderr)
    return 0
