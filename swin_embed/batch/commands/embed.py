"""`swin-embed SOURCE... --output DIR`: embed collections of images."""

import argparse
import json
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, redirect_stdout
from dataclasses import asdict, dataclass, field
from typing import get_args

from tqdm import tqdm

from swin_embed.batch import job, sources
from swin_embed.batch.collection import Collection, Format
from swin_embed.batch.commands import engine
from swin_embed.batch.commands.numbers import positive
from swin_embed.batch.errors import ClusterError
from swin_embed.batch.local import Local
from swin_embed.batch.recipe import Dtype, Recipe, Row

PARTLY = 3
"""Exit status: some images have an error instead of a vector."""


@dataclass
class Summary:
    """What a job did, for `--json`."""

    output: str
    model: str
    digest: str
    embedded: int = 0
    failed: int = 0
    skipped: int = 0
    rows: int = 0
    rows_failed: int = 0
    seconds: float = 0
    images_per_s: float = 0
    broken_sources: list[str] = field(default_factory=list)


def parser() -> argparse.ArgumentParser:
    given = argparse.ArgumentParser(
        "swin-embed",
        description="Embed collections of images into files of vectors.",
        epilog="What was made is searched by `swin-embed search OUTPUT IMAGE`, its near-duplicates "
        "are found by `swin-embed duplicates OUTPUT`; --help after those tells more.",
    )
    given.add_argument(
        "sources",
        nargs="+",
        metavar="SOURCE",
        help="folder, glob, image, .txt, .csv or .parquet manifest of paths or URLs, .tar shard, "
        "or .parquet with image bytes; local, or a URL that fsspec reads",
    )
    given.add_argument("--output", required=True, metavar="DIR", help="folder or URL to write to")
    engine.add_arguments(given)
    given.add_argument(
        "--engine",
        choices=["local", "ray"],
        default="local",
        help="where to embed: in this process, or on a Ray cluster (default: %(default)s)",
    )
    given.add_argument(
        "--address",
        help="of the Ray cluster, host:port or auto (default: RAY_ADDRESS, or one of this machine "
        "alone)",
    )
    given.add_argument("--format", choices=get_args(Format), default="parquet")
    given.add_argument("--dtype", choices=get_args(Dtype), default="float32")
    given.add_argument(
        "--normalize",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="scale vectors to unit length",
    )
    given.add_argument(
        "--part-rows",
        type=positive,
        default=1024,
        metavar="N",
        help="rows of a part, which is as many as a kill can cost (default: %(default)s)",
    )
    given.add_argument("--json", action="store_true", help="print a summary on standard output")
    return given


def run(options: argparse.Namespace) -> int:
    """Embed the images of the sources that are not in the output yet."""
    started = time.monotonic()
    found = sources.find(options.sources)
    collection = Collection.at(options.output)
    with collection.folder.alone(), _engine(options) as made_by:
        recipe = Recipe(made_by.card, made_by.digest, options.dtype, normalized=options.normalize)
        collection.admit(recipe)
        summary = Summary(collection.folder.url, recipe.card.name, recipe.digest)
        for table in collection.tables("error"):
            summary.rows += table.num_rows
            summary.rows_failed += table.num_rows - table["error"].null_count
        began = time.monotonic()
        with (
            _bar(found, summary.rows) as bar,
            closing(made_by.rows(found, collection, normalize=recipe.normalized)) as embedded,
        ):
            rows = _watched(job.readable(embedded), bar)
            for part in job.write(rows, collection, recipe, options.format, options.part_rows):
                summary.embedded += part.rows - part.failed
                summary.failed += part.failed
        embedding_s = time.monotonic() - began
    summary.rows += summary.embedded + summary.failed
    summary.rows_failed += summary.failed
    summary.skipped = made_by.skipped
    summary.seconds = round(time.monotonic() - started, 3)
    summary.images_per_s = round((summary.embedded + summary.failed) / embedding_s, 2)
    summary.broken_sources = made_by.broken
    _tell(summary, options)
    return PARTLY if summary.rows_failed or summary.broken_sources else 0


@contextmanager
def _engine(options: argparse.Namespace) -> Iterator[job.Engine]:
    if options.engine == "local":
        with engine.started(options) as embedder:
            yield Local(embedder)
        return
    try:
        from swin_embed.batch.cluster import Cluster
    except ImportError as error:
        raise ClusterError(
            f"Ray is not installed: pip install 'swin-embed[ray]' ({error})"
        ) from error
    # Ray tells of lost nodes on standard output, which is the summary's.
    with redirect_stdout(sys.stderr), Cluster(engine.settings(options), options.address) as cluster:
        yield cluster


def _tell(summary: Summary, options: argparse.Namespace) -> None:
    for source in summary.broken_sources:
        print(f"swin-embed: not read to its end: {source}", file=sys.stderr)
    print(
        f"{summary.embedded} embedded, {summary.failed} with errors, {summary.skipped} there "
        f"already or named twice, {summary.images_per_s} images/s; {summary.output} has "
        f"{summary.rows} rows, {summary.rows_failed} of them errors",
        file=sys.stderr,
    )
    if options.json:
        print(json.dumps(asdict(summary)))


@contextmanager
def _bar(found: Sequence[sources.Source], done: int) -> "Iterator[tqdm[None]]":
    """A progress bar whose total comes when the sources have been counted, beside the work."""
    with tqdm(initial=done, unit="image", smoothing=0.05, dynamic_ncols=True) as bar:

        def count() -> None:
            bar.total = sources.total(found)

        threading.Thread(target=count, name="count", daemon=True).start()
        yield bar


def _watched(rows: Iterable[Row], bar: "tqdm[None]") -> Iterator[Row]:
    failed = 0
    for row in rows:
        failed += row.error is not None
        bar.set_postfix(errors=failed, refresh=False)
        bar.update()
        yield row
