import aiohttp
import numpy as np
import pytest
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from swin_embed.batch import job
from swin_embed.batch.collection import Collection
from swin_embed.batch.errors import ItemError, SourceError
from swin_embed.batch.items import Item
from swin_embed.batch.recipe import Recipe, Row

GONE = Row("a", "p/a", error="unreadable: no", gone=True)
MISSING = Row("c", "p/c", error="unreadable: 404")
THERE = Row("b", "p/b", "00", error="invalid_image: no")


def test_rows_that_can_be_read_pass():
    rows = [*[GONE] * 99, THERE] * 2
    assert list(job.readable(rows)) == rows


def test_a_source_that_has_gone_ends_the_job():
    with pytest.raises(SourceError, match=r"100 images in a row .* p/a: unreadable: no"):
        list(job.readable([THERE, *[GONE] * 100]))


def answered(status: int) -> aiohttp.ClientResponseError:
    request = aiohttp.RequestInfo(URL("http://host/a.png"), "GET", CIMultiDictProxy(CIMultiDict()))
    return aiohttp.ClientResponseError(request, (), status=status)


def test_definite_answers_end_no_job():
    assert len(list(job.readable([MISSING] * 300))) == 300


@pytest.mark.parametrize(
    ("error", "definite"),
    [
        (FileNotFoundError(2, "not there"), True),
        (PermissionError(13, "not yours"), True),
        (ItemError("larger than"), True),
        (answered(410), True),
        (answered(429), False),
        (answered(503), False),
        (aiohttp.ClientConnectionError(), False),
        (TimeoutError(), False),
        (ConnectionResetError(), False),
    ],
)
def test_an_answer_is_definite_or_none(error, definite):
    assert Row.unreadable(Item("a", "p/a", "p/a"), error).gone is not definite


def test_what_came_before_a_source_went_is_written(tmp_path, embedder):
    collection = Collection.at(str(tmp_path / "out"))
    recipe = Recipe(embedder.card, embedder.model.digest)
    vector = np.ones(128, np.float32)
    good = [Row(f"g{n}", f"p/g{n}", "00", 1, 1, vector) for n in range(7)]
    dead = [Row(f"d{n}", f"p/d{n}", error="unreadable: no", gone=True) for n in range(150)]
    parts = job.write(job.readable([*good, *dead]), collection, recipe, "parquet", 1000)
    assert next(parts).rows == 107
    with pytest.raises(SourceError, match="100 images in a row"):
        next(parts)
    done = {row for table in collection.tables("id") for row in table["id"].to_pylist()}
    assert len(done) == 107
    rest = [row for row in dead if row.id not in done]  # what the same command does next
    for _ in job.write(job.readable(rest), collection, recipe, "parquet", 1000):
        pass
    assert sum(table.num_rows for table in collection.tables("id")) == 157
