"""`swin-embed`: embed collections of images, search them, find their duplicates.

Exit status: 0 if every image has its vector, 3 if some have an error instead, 1 if the job could
not run or go on (what is written stays, and the same command goes on from there), 2 on a bad
option, 130 if interrupted.
"""

import argparse
import json
import signal
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, get_args

from pydantic import ValidationError
from tqdm import tqdm

from service import logs
from service.batch import job, sources
from service.batch.collection import Collection, Format
from service.batch.errors import BatchError
from service.batch.recipe import Dtype, Recipe, Row
from service.embedder import Embedder
from service.errors import ArtifactError, DeviceError, ServiceError
from service.metrics import Metrics
from service.settings import Settings

PARTLY = 3


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


def main(arguments: Sequence[str] | None = None) -> int:
    given = list(sys.argv[1:] if arguments is None else arguments)
    name, rest = (given[0], given[1:]) if given[:1] and given[0] in COMMANDS else ("embed", given)
    parser, command = COMMANDS[name]
    options = parser().parse_args(rest)
    logs.configure("console", "warning")
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        return command(options)
    except ValidationError as error:
        for problem in error.errors():
            print(
                f"swin-embed: {'.'.join(map(str, problem['loc']))}: {problem['msg']}",
                file=sys.stderr,
            )
        return 2
    except (BatchError, ArtifactError, DeviceError, ServiceError) as error:
        print(f"swin-embed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("swin-embed: interrupted; the same command goes on from here", file=sys.stderr)
        return 130


def embed_parser() -> argparse.ArgumentParser:
    parser = _parser("swin-embed", "Embed collections of images into files of vectors.")
    parser.epilog = "other commands: swin-embed search --help, swin-embed duplicates --help"
    parser.add_argument(
        "sources",
        nargs="+",
        metavar="SOURCE",
        help="folder, glob, image, .txt, .csv or .parquet manifest of paths or URLs, .tar shard, "
        "or .parquet with image bytes; local, or a URL that fsspec reads",
    )
    parser.add_argument("--output", required=True, metavar="DIR", help="folder or URL to write to")
    _add_model(parser)
    parser.add_argument("--format", choices=get_args(Format), default="parquet")
    parser.add_argument("--dtype", choices=get_args(Dtype), default="float32")
    parser.add_argument(
        "--normalize",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="scale vectors to unit length",
    )
    parser.add_argument(
        "--part-rows",
        type=_positive,
        default=4096,
        metavar="N",
        help="rows of a part, which is as many as a kill can cost (default: %(default)s)",
    )
    parser.add_argument("--json", action="store_true", help="print a summary on standard output")
    return parser


def embed(options: argparse.Namespace) -> int:
    """Embed the images of the sources that are not in the output yet."""
    started = time.monotonic()
    found = sources.find(options.sources)
    collection = Collection.at(options.output)
    broken: list[str] = []
    with collection.folder.alone(), _embedder(options) as embedder:
        recipe = Recipe(
            embedder.card, embedder.model.digest, options.dtype, normalized=options.normalize
        )
        collection.admit(recipe)
        summary = Summary(collection.folder.url, recipe.card.name, recipe.digest)
        for table in collection.tables("error"):
            summary.rows += table.num_rows
            summary.rows_failed += table.num_rows - table["error"].null_count
        done = (table["id"].to_pylist() for table in collection.tables("id"))
        pending = job.Pending(sources.listing(found, broken), done)
        began = time.monotonic()
        with (
            _bar(found, summary.rows) as bar,
            closing(job.embed(pending, embedder, normalize=recipe.normalized)) as embedded,
        ):
            rows = _watched(embedded, bar)
            for part in job.write(rows, collection, recipe, options.format, options.part_rows):
                summary.embedded += part.rows - part.failed
                summary.failed += part.failed
        embedding_s = time.monotonic() - began
    summary.rows += summary.embedded + summary.failed
    summary.rows_failed += summary.failed
    summary.skipped = pending.skipped
    summary.seconds = round(time.monotonic() - started, 3)
    summary.images_per_s = round((summary.embedded + summary.failed) / embedding_s, 2)
    summary.broken_sources = broken
    _tell(summary, options)
    return PARTLY if summary.rows_failed or broken else 0


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
def _embedder(options: argparse.Namespace) -> Iterator[Embedder]:
    given: dict[str, Any] = {
        name: value for name in ("model", "device") if (value := getattr(options, name)) is not None
    }
    embedder = Embedder(Settings(**given), Metrics())
    try:
        yield embedder
    finally:
        embedder.close()


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


def _parser(name: str, about: str) -> argparse.ArgumentParser:
    return argparse.ArgumentParser(name, description=about)


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", type=Path, metavar="FILE", help="the .onnx file (SWIN_MODEL)")
    parser.add_argument("--device", help="auto, cpu, cuda or tensorrt (SWIN_DEVICE)")


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not positive")
    return number


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


COMMANDS = {"embed": (embed_parser, embed)}


if __name__ == "__main__":
    sys.exit(main())
