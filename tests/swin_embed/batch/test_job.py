import pytest

from swin_embed.batch import job
from swin_embed.batch.errors import SourceError
from swin_embed.batch.recipe import Row

GONE = Row("a", "p/a", error="unreadable: no")
THERE = Row("b", "p/b", "00", error="invalid_image: no")


def test_rows_that_can_be_read_pass():
    rows = [*[GONE] * 99, THERE] * 2
    assert list(job.readable(rows)) == rows


def test_a_source_that_has_gone_ends_the_job():
    with pytest.raises(SourceError, match=r"100 images in a row .* p/a: unreadable: no"):
        list(job.readable([THERE, *[GONE] * 100]))
