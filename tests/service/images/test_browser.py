"""Over 400 generated pictures, each as headless Chromium paints it."""

import re

import numpy as np
import pytest

from service.errors import ServiceError
from service.images.preprocess import thumbnail
from tests.support.browser import CHROMIUM, DRIVER, chromium, painted
from tests.support.pictures import pictures

pytestmark = pytest.mark.slow

TYPES = {"JPEG": "jpeg", "PNG": "png", "WEBP": "webp", "GIF": "gif", "BMP": "bmp", "AVIF": "avif"}
TYPES |= {"ICO": "x-icon", "CUR": "x-icon"}
SAME = 2
"""Grey levels that decoders may differ by."""

DIFFERENT = {
    r"WEBP: orientation [2-8]": "Chromium does not read EXIF in WebP; Safari and Pillow do",
    r"WEBP: EXIF, .*": "the same",
    r"PNG: EXIF, its header twice": "PNG's chunk has no header; here one is skipped",
    r"JPEG: .* without its end": "Chromium leaves out its last rows, which are there",
    r"PNG: animation beside a picture": "the picture is what shows where nothing is animated",
    r"AVIF: animation.*": "Chromium converts colours of sequences its own way",
    r"AVIF: (LA|RGBA) .*": "Chromium takes transparency, full range by MIAF, for limited range",
    r"AVIF: RGB in (no profile at all|ink)": "metadata costs no picture; Chromium shows none",
    r".*: L in grey 1.0": "8 bits of linear light are few in the dark: 7 levels",
}
"""What still differs with colours applied, and why that is right or does not matter."""

COLOURED = re.compile(r".*( in |: cICP|: nclx|: gAMA).*")
"""What differs by its colours where profiles are ignored, as they are by default."""


@pytest.fixture(scope="module")
def seen():
    if CHROMIUM is None or DRIVER is None:
        pytest.skip("chromium and chromium-driver are not installed")
    files = dict(pictures())
    given = [(f"image/{TYPES[name.partition(':')[0]]}", data) for name, data in files.items()]
    with chromium() as driver:
        yield files, dict(zip(files, painted(driver, given), strict=True))


def differing(files, seen, policy) -> set[str]:
    return {name for name, data in files.items() if not same(data, seen[name], policy)}


def same(data, expected, policy) -> bool:
    try:
        ours = np.asarray(thumbnail(data, 10_000, 10**6, policy))
    except ServiceError:
        return expected is None
    if expected is None or ours.shape != expected.shape:
        return False
    return int(np.abs(ours.astype(int) - expected).max()) <= SAME


def test_pictures_are_what_a_browser_paints(seen):
    files, paintings = seen
    assert len(files) > 400
    known = re.compile("|".join(DIFFERENT))
    differ = differing(files, paintings, "apply")
    assert {name for name in differ if not known.fullmatch(name)} == set()
    unused = [kind for kind in DIFFERENT if not any(re.fullmatch(kind, name) for name in differ)]
    assert unused == []


def test_by_default_only_colours_differ_more(seen):
    files, paintings = seen
    more = differing(files, paintings, "ignore") - differing(files, paintings, "apply")
    assert {name for name in more if not COLOURED.fullmatch(name)} == set()
    assert len(more) > 60
