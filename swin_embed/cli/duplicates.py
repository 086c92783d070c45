"""`swin-embed duplicates DIR`: which images of a folder or collection are copies of each other."""

import csv
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import pyarrow as pa
import pyarrow.parquet as pq

from swin_embed.batch import duplicates, sheet
from swin_embed.batch.duplicates import KEEP, Found, Group, Pair
from swin_embed.batch.errors import OutputError
from swin_embed.batch.facts import Picture
from swin_embed.batch.folder import Folder
from swin_embed.batch.text import plain, printed
from swin_embed.cli import engine
from swin_embed.cli.opening import opened

PAIRS = pa.schema(
    [("a", pa.string()), ("b", pa.string()), ("cosine", pa.float32()), ("exact", pa.bool_())]
)
SHOWN = 100
"""Groups that are printed; the rest is counted."""


@click.command
@click.argument("collection", metavar="DIR")
@click.option("--against", metavar="OTHER", help="look for images of DIR that OTHER has")
@click.option(
    "--threshold",
    default=0.85,
    show_default=True,
    metavar="COSINE",
    help="least cosine of a copy; see docs/collections.md",
)
@click.option(
    "--keep",
    "rule",
    type=click.Choice(list(KEEP)),
    default="best",
    show_default=True,
    help="which image of a group to keep: "
    + "; ".join(f"{name}: {words}" for name, (words, _) in KEEP.items()),
)
@click.option("--html", type=click.Path(path_type=Path), help="write a page of the groups")
@click.option("--json", "form", flag_value="json", help="print the groups as JSON")
@click.option("--csv", "form", flag_value="csv", help="print the groups as CSV, a line an image")
@click.option(
    "--list-redundant", "form", flag_value="redundant", help="print the paths of the copies alone"
)
@click.option("-0", "--null", is_flag=True, help="end paths with a NUL byte, for xargs -0")
@click.option(
    "--output",
    metavar="DIR",
    help="write pairs.parquet and groups.parquet there (default: DIR/duplicates, if swin-embed "
    "wrote DIR)",
)
@engine.options
def command(
    collection: str,
    against: str | None,
    threshold: float,
    rule: str,
    html: Path | None,
    form: str | None,
    null: bool,
    output: str | None,
    model: str | None,
    device: str | None,
) -> None:
    """Find images that are copies of each other, in a folder of images or what swin-embed wrote.

    A group is an image to keep and its copies, each similar to it. Nothing is ever deleted.
    """
    settings = engine.settings(model, device)
    images = opened(collection, settings)
    if output is None and against is None and images.folder == Folder.at(collection):
        output = f"{collection}/duplicates"
    if against is not None:
        found = duplicates.against(images, opened(against, settings), threshold)
    elif output is not None:
        with _pairs(Folder.at(output)) as write:
            found = duplicates.find(images, threshold, rule, write)
    else:
        found = duplicates.find(images, threshold, rule)
    groups = sorted(found.groups, key=lambda group: (-group.spare, group.keep.path))
    if output is not None:
        Folder.at(output).put("groups.parquet", _table(groups))
    if html is not None:
        page = sheet.groups(groups, _summary(found), KEEP[rule][0], settings.max_image_pixels)
        html.write_text(page, "utf-8")
    match form:
        case "json":
            click.echo(json.dumps(_object(found, groups)))
        case "csv":
            _write_csv(groups)
        case "redundant":
            _list_redundant(groups, null=null)
        case _:
            _print(groups, rule)
    click.echo(_summary(found), err=True)
    if found.missing:
        click.echo(f"{found.missing} files are not there any more and were left out", err=True)
    if html is not None:
        click.echo(f"{html} shows the groups", err=True)


def _summary(found: Found) -> str:
    return (
        f"{found.copies} copies in {len(found.groups)} groups, of {found.images} images; they take "
        f"{sheet.weight(found.spare)}"
    )


def _print(groups: list[Group], rule: str) -> None:
    if groups:
        click.echo(f"keep: {KEEP[rule][0]}")
    for group in groups[:SHOWN]:
        click.echo(f"\nkeep    {_line(group.keep)}")
        for copy in group.copies:
            kind = "exact " if copy.exact else sheet.cosine(copy.cosine)
            click.echo(f"{kind}  {_line(copy.picture)}")
    if len(groups) > SHOWN:
        click.echo(f"\n{len(groups) - SHOWN} more groups; --html, --json and --csv give them all")


def _line(picture: Picture) -> str:
    size = f"{picture.width} x {picture.height}"
    return f"{size:>13}  {sheet.weight(picture.size):>8}  {plain(picture.path)}"


def _list_redundant(groups: list[Group], *, null: bool) -> None:
    paths = [copy.picture for group in groups for copy in group.copies]
    local = [picture.path for picture in paths if picture.size is not None]
    if not null and any("\n" in path or "\r" in path for path in local):
        raise OutputError("a path holds a line break: list them with --null, for xargs -0")
    end = "\0" if null else "\n"
    out = sys.stdout.buffer
    out.writelines(f"{printed(path)}{end}".encode("utf-8", "surrogateescape") for path in local)
    out.flush()
    if len(local) < len(paths):
        click.echo(
            f"{len(paths) - len(local)} copies are no files of their own on this machine and are "
            "not listed",
            err=True,
        )


def _rows(groups: list[Group]) -> Iterator[dict[str, object]]:
    for number, group in enumerate(groups):
        yield _row(number, group.keep, "keep", 1.0)
        for copy in group.copies:
            yield _row(number, copy.picture, "exact" if copy.exact else "near", copy.cosine)


def _row(number: int, picture: Picture, kind: str, cosine: float) -> dict[str, object]:
    return {
        "group": number,
        "kind": kind,
        "cosine": round(cosine, 6),
        "width": picture.width,
        "height": picture.height,
        "bytes": picture.size,
        "id": picture.id,
        "path": picture.path,
    }


def _object(found: Found, groups: list[Group]) -> dict[str, object]:
    members: list[list[dict[str, object]]] = [[] for _ in groups]
    for row in _rows(groups):
        members[int(str(row.pop("group")))].append(row)
    return {
        "images": found.images,
        "groups": len(groups),
        "copies": found.copies,
        "bytes": found.spare,
        "missing": found.missing,
        "members": members,
    }


def _write_csv(groups: list[Group]) -> None:
    columns = list(_row(0, groups[0].keep, "", 1)) if groups else ["group", "path"]
    writer = csv.DictWriter(sys.stdout, columns)
    writer.writeheader()
    for row in _rows(groups):
        texts = {name: printed(value) for name, value in row.items() if isinstance(value, str)}
        writer.writerow(row | texts)


def _table(groups: list[Group]) -> memoryview:
    schema = pa.schema(
        [
            ("group", pa.int64()),
            ("id", pa.string()),
            ("path", pa.string()),
            ("kind", pa.string()),
            ("cosine", pa.float32()),
        ]
    )
    sink = pa.BufferOutputStream()
    rows = [{name: row[name] for name in schema.names} for row in _rows(groups)]
    pq.write_table(pa.Table.from_pylist(rows, schema), sink)
    return memoryview(sink.getvalue())


@contextmanager
def _pairs(output: Folder) -> Iterator[Callable[[list[Pair]], None]]:
    """What writes pairs to `pairs.parquet`, whole when the block ends."""
    with tempfile.TemporaryFile() as file:
        with pq.ParquetWriter(file, PAIRS, compression="zstd") as writer:

            def write(pairs: list[Pair]) -> None:
                rows = [[it.a.id, it.b.id, it.cosine, it.exact] for it in pairs]
                columns = list(zip(*rows, strict=True)) or [()] * len(PAIRS)
                writer.write_table(pa.table([list(column) for column in columns], schema=PAIRS))

            yield write
        file.seek(0)
        output.put("pairs.parquet", file.read())
