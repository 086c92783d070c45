"""`swin-embed embed SOURCE... [--output DIR]`: embed collections of images."""

import json
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, redirect_stdout
from dataclasses import asdict, dataclass, field
from importlib import import_module
from typing import get_args

import click
from tqdm import tqdm

from model_export import console
from service.settings import Settings
from swin_embed.artifacts import Precision
from swin_embed.batch import job
from swin_embed.batch.collection import ERRORS, Collection, Format
from swin_embed.batch.local import Local
from swin_embed.batch.recipe import Dtype, Recipe, Row
from swin_embed.batch.sources import Source, find, total
from swin_embed.batch.text import plain
from swin_embed.cli import engine

PART_ROWS = 1024
"""Rows of a part, unless somebody says."""

FAILURES = 5
"""Images with errors that are named at the end."""


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
    failures: list[str] = field(default_factory=list)


@click.command
@click.argument("sources", metavar="SOURCE...", nargs=-1, required=True)
@click.option(
    "--output",
    default="vectors",
    show_default=True,
    metavar="DIR",
    help="folder or URL to write to",
)
@engine.options
@engine.precision
@click.option(
    "--engine",
    "where",
    type=click.Choice(["local", "ray"]),
    default="local",
    show_default=True,
    help="embed in this process, or on a Ray cluster",
)
@click.option(
    "--address",
    metavar="ADDRESS",
    help="of the Ray cluster, host:port or auto (default: RAY_ADDRESS, or one of this machine "
    "alone)",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(get_args(Format)),
    default="parquet",
    show_default=True,
    help="of the files",
)
@click.option(
    "--dtype",
    type=click.Choice(get_args(Dtype)),
    default="float32",
    show_default=True,
    help="of the numbers",
)
@click.option(
    "--normalize/--no-normalize",
    default=True,
    show_default=True,
    help="scale vectors to unit length",
)
@click.option(
    "--part-rows",
    type=click.IntRange(min=1),
    default=PART_ROWS,
    show_default=True,
    metavar="N",
    help="rows of a part, which is as many as a kill can cost",
)
@click.option("--json", "as_json", is_flag=True, help="print a summary on standard output")
def command(
    sources: tuple[str, ...],
    output: str,
    model: str | None,
    precision: Precision | None,
    device: str | None,
    where: str,
    address: str | None,
    form: Format,
    dtype: Dtype,
    normalize: bool,
    part_rows: int,
    as_json: bool,
) -> int:
    """Embed collections of images into files of vectors.

    SOURCE is a folder, a glob, an image, a .txt, .csv or .parquet manifest of paths or URLs, a .tar
    shard, or a .parquet with image bytes; local, or a URL that fsspec reads. Images that the output
    has already are left out, so the same command goes on where it was stopped.

    What was made is searched by `swin-embed search DIR IMAGE`, its near-duplicates are found by
    `swin-embed duplicates DIR`.
    """
    if form == "lance":
        import_module("lancedb")  # what is missing is told before hours of work
    settings = engine.settings(model, device, precision)
    found = find(sources)
    collection = Collection.at(output)
    try:
        with collection.folder.alone(), _engine(settings, where, address) as made_by:
            recipe = Recipe(made_by.card, made_by.digest, dtype, normalized=normalize)
            collection.admit(recipe)
            summary = into(collection, made_by, found, recipe, form, part_rows)
    except KeyboardInterrupt:
        console.complain("interrupted; the same command goes on from here")
        return console.INTERRUPTED
    for source in summary.broken_sources:
        console.complain(f"not read to its end: {source}")
    for failure in summary.failures:
        console.complain(plain(failure))
    if summary.failed > len(summary.failures):
        more = summary.failed - len(summary.failures)
        console.complain(f"and {more} more: all are in {summary.output}/{ERRORS}*.parquet")
    click.echo(
        f"{summary.embedded} embedded, {summary.failed} with errors, {summary.skipped} there "
        f"already or named twice, {summary.images_per_s} images/s; {summary.output} has "
        f"{summary.rows} rows, {summary.rows_failed} of them errors",
        err=True,
    )
    if as_json:
        click.echo(json.dumps(asdict(summary)))
    return console.PARTLY if summary.rows_failed or summary.broken_sources else 0


def into(
    collection: Collection,
    made_by: job.Engine,
    found: Sequence[Source],
    recipe: Recipe,
    form: Format = "parquet",
    part_rows: int = PART_ROWS,
) -> Summary:
    """Embed the images of the sources that are not in the collection yet."""
    summary = Summary(collection.folder.url, recipe.card.name, recipe.digest)
    for table in collection.tables("error"):
        summary.rows += table.num_rows
        summary.rows_failed += table.num_rows - table["error"].null_count
    began = time.monotonic()
    with (
        _bar(found, summary.rows) as bar,
        closing(made_by.rows(found, collection, normalize=recipe.normalized)) as embedded,
    ):
        rows = _watched(job.readable(embedded), bar, summary.failures)
        for part in job.write(rows, collection, recipe, form, part_rows):
            summary.embedded += part.rows - part.failed
            summary.failed += part.failed
    summary.seconds = round(time.monotonic() - began, 3)
    summary.rows += summary.embedded + summary.failed
    summary.rows_failed += summary.failed
    summary.skipped = made_by.skipped
    summary.images_per_s = round((summary.embedded + summary.failed) / summary.seconds, 2)
    summary.broken_sources = made_by.broken
    return summary


@contextmanager
def _engine(settings: Settings, where: str, address: str | None) -> Iterator[job.Engine]:
    if where == "local":
        with engine.started(settings) as embedder:
            yield Local(embedder)
        return
    from swin_embed.batch.cluster import Cluster

    # Ray tells of lost nodes on standard output, which is the summary's.
    with redirect_stdout(sys.stderr), Cluster(engine.with_artifact(settings), address) as cluster:
        yield cluster


@contextmanager
def _bar(found: Sequence[Source], done: int) -> "Iterator[tqdm[None]]":
    """A progress bar whose total comes when the sources have been counted, beside the work."""
    with tqdm(initial=done, unit="image", smoothing=0.05, dynamic_ncols=True) as bar:

        def count() -> None:
            bar.total = total(found)

        threading.Thread(target=count, name="count", daemon=True).start()
        yield bar


def _watched(rows: Iterable[Row], bar: "tqdm[None]", failures: list[str]) -> Iterator[Row]:
    """The rows, with their progress shown; of those with errors the first are noted."""
    failed = 0
    for row in rows:
        failed += row.error is not None
        if row.error is not None and len(failures) < FAILURES:
            failures.append(f"{row.path}: {row.error}")
        bar.set_postfix(errors=failed, refresh=False)
        bar.update()
        yield row
