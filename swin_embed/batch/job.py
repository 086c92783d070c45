"""A job: images in, parts of a collection out. An engine makes the rows."""

from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa

from model_export.model_card import ModelCard
from service.engine import memory
from swin_embed.batch.collection import Collection, Format
from swin_embed.batch.errors import SourceError
from swin_embed.batch.recipe import Recipe, Row
from swin_embed.batch.sources import Source

UNREADABLE_IN_A_ROW = 100
"""After this many files in a row without an answer, the source counts as gone."""


class Engine(Protocol):
    """Makes rows from sources; `skipped` and `broken` are final once all rows are made.

    Attributes:
        card: of the model.
        digest: sha256 of the model's file.
        skipped: images left out, as they had a row or were named before.
        broken: sources that could not be read to their end, and why.
    """

    card: ModelCard
    digest: str
    skipped: int
    broken: list[str]

    def rows(
        self, found: Sequence[Source], collection: Collection, *, normalize: bool
    ) -> Generator[Row]:
        """Rows of the images that are not in the collection yet."""
        ...


@dataclass(frozen=True)
class Outcome:
    """A part that was written: its rows, and how many of them are errors."""

    rows: int
    failed: int


def write(
    rows: Iterator[Row], collection: Collection, recipe: Recipe, form: Format, part_rows: int
) -> Iterator[Outcome]:
    """Write rows, a part at a time; yields each part once it is written.

    The next part fills while one is written.

    Raises:
        SourceError: a source has gone; what came before is written.
    """
    number = collection.next_number()

    def put(number: int, part: pa.Table) -> Outcome:
        collection.write(number, part, form)
        pa.default_memory_pool().release_unused()  # 15 MB that it would keep for the next part
        memory.give_back()
        return Outcome(part.num_rows, part.num_rows - part["error"].null_count)

    gone: list[SourceError] = []

    def until_gone() -> Iterator[Row]:
        try:
            yield from rows
        except SourceError as error:
            gone.append(error)

    kept = until_gone()
    with ThreadPoolExecutor(1, thread_name_prefix="write") as writer:
        writing: Future[Outcome] | None = None
        while (part := recipe.table(kept, part_rows)).num_rows:
            if writing is not None:
                yield writing.result()
            writing = writer.submit(put, number, part)
            number += 1
        if writing is not None:
            yield writing.result()
    if gone:
        raise gone[0]


def readable(rows: Iterable[Row]) -> Iterator[Row]:
    """The rows, as long as their source answers; an error such as 404 is an answer.

    Raises:
        SourceError: a hundred in a row got none; they have their rows, so that the same job gets
            further when it is started again.
    """
    unanswered = 0
    for row in rows:
        yield row
        unanswered = unanswered + 1 if row.gone else 0
        if unanswered == UNREADABLE_IN_A_ROW:
            raise SourceError(
                f"{unanswered} images in a row could not be read, last {row.path}: {row.error}"
            )
