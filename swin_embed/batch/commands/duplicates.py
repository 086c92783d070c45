"""`swin-embed duplicates OUTPUT`: find near-duplicates."""

import argparse
import json
import sys
from dataclasses import asdict

from swin_embed.batch import duplicates
from swin_embed.batch.collection import Collection
from swin_embed.batch.folder import Folder


def parser() -> argparse.ArgumentParser:
    given = argparse.ArgumentParser(
        "swin-embed duplicates",
        description="Find near-duplicates: pairs of images above a cosine, and their groups.",
    )
    given.add_argument("collection", metavar="OUTPUT", help="what swin-embed wrote")
    given.add_argument(
        "--threshold",
        type=float,
        default=0.85,
        metavar="COSINE",
        help="least cosine of a pair (default: %(default)s); see docs/collections.md",
    )
    given.add_argument(
        "--output", metavar="DIR", help="where to write (default: OUTPUT/duplicates)"
    )
    given.add_argument("--json", action="store_true", help="print a summary on standard output")
    return given


def run(options: argparse.Namespace) -> int:
    """Write the pairs and groups of near-duplicates."""
    collection = Collection.at(options.collection)
    output = Folder.at(options.output or f"{collection.folder.url}/duplicates")
    found = duplicates.find(collection, options.threshold, output)
    print(
        f"{found.pairs} pairs and {found.groups} groups of {found.grouped} images, of "
        f"{found.images}; {output.url}/pairs.parquet, groups.parquet",
        file=sys.stderr,
    )
    if options.json:
        print(json.dumps(asdict(found)))
    return 0
