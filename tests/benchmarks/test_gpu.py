"""The benchmark of GPUs, end to end on the CPU provider with the paper's example."""

import re

import pytest

from benchmarks.gpu import Setup, measure
from benchmarks.peak import peak
from tests.support.small_model import SMALL_MODEL

pytestmark = pytest.mark.slow


def test_one_command_measures_every_row(tmp_path):
    setup = Setup(
        device="cpu",
        buckets=(1, 2),
        precisions=("fp32", "fp16"),
        folder=tmp_path,
        side=32,
        seconds=0.05,
        repeats=1,
        images=3,
        clients=2,
        compiled=False,
    )
    page = "\n".join(measure(SMALL_MODEL, setup))
    for precision in setup.precisions:
        assert f"### {SMALL_MODEL.architecture.name}, {precision}" in page
    assert [int(size) for size in re.findall(r"^\| (\d+) \| \d", page, re.MULTILINE)] == [
        1,
        2,
        1,
        2,
    ]
    assert page.count("one image across sizes: the same bits") == 2  # promise 1
    (worst,) = re.findall(r"fp16 to fp32, worst cosine of 3 images: (\S+)", page)
    assert float(worst) >= 0.9999
    assert len(re.findall(r"^without HTTP: \d", page, re.MULTILINE)) == 2
    assert len(re.findall(r"^served, 2 clients: \d.* 0 wrong$", page, re.MULTILINE)) == 2


def test_the_peak_counts_operations():
    assert peak("cpu", "fp32", side=8, seconds=0.01) > 2 * 8**3
