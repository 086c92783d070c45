"""Colours with and without `SWIN_COLOR_PROFILES=apply`; test_browser.py has what is painted."""

import io
import struct

import numpy as np
import pytest
from PIL import Image, ImageCms

from service.images.preprocess import preprocess
from tests.hostile.corpus import chunk
from tests.service.images.test_preprocess import SWIN_224, embeddable, largest_difference
from tests.support.images import encode, photos
from tests.support.pictures import before_pixels
from tests.support.profiles import D65, PROFILES, of_grey, of_ink, of_primaries

PHOTO = photos()["coffee"]
APPLY = SWIN_224.model_copy(update={"color_profiles": "apply"})
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


def in_profile(image: Image.Image, profile: bytes) -> Image.Image:
    """The same look in the colours of a profile."""
    given = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    return ImageCms.profileToProfile(image, SRGB, given)


@pytest.mark.parametrize("name", ["Display P3", "Adobe RGB", "ProPhoto", "Rec. 2020"])
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_the_same_look_is_the_same_picture(name, form):
    options = {"WEBP": {"lossless": True}, "JPEG": {"quality": 98, "subsampling": 0}}.get(form, {})
    options |= {"quality": 100, "subsampling": "4:4:4"} if form == "AVIF" else {}
    profile = PROFILES[name]
    data = encode(in_profile(PHOTO, profile), form, icc_profile=profile, **options)
    off = np.abs(embeddable(data, APPLY).astype(int) - embeddable(encode(PHOTO)))
    assert off.mean() < 2
    ignored = np.abs(embeddable(data).astype(int) - embeddable(encode(PHOTO)))
    assert ignored.mean() > 2 * off.mean()


@pytest.mark.parametrize(
    "profile",
    [b"", b"no profile", bytes(5 << 20), of_ink(), of_grey(2.2)[:200], PROFILES["ProPhoto"][:300]],
)
@pytest.mark.parametrize("form", ["PNG", "JPEG"])
def test_a_profile_that_means_nothing_here_is_none(profile, form):
    data = encode(PHOTO, form, icc_profile=profile)
    assert np.array_equal(embeddable(data, APPLY), embeddable(encode(PHOTO, form)))


def test_srgb_by_any_name_is_what_it_is():
    plain = embeddable(encode(PHOTO))
    for added in (
        chunk(b"sRGB", b"\0") + chunk(b"gAMA", struct.pack(">I", 100_000)),
        chunk(b"gAMA", struct.pack(">I", 45_455)),
        chunk(b"cICP", bytes([1, 13, 0, 1])),
        chunk(b"cICP", bytes([99, 99, 0, 1])),
        chunk(b"gAMA", b"\0\0"),
    ):
        assert np.array_equal(embeddable(before_pixels(encode(PHOTO), added), APPLY), plain)


def test_what_is_said_by_numbers_counts_before_a_profile():
    data = before_pixels(
        encode(PHOTO, icc_profile=PROFILES["ProPhoto"]), chunk(b"cICP", bytes([1, 13, 0, 1]))
    )
    assert np.array_equal(embeddable(data, APPLY), embeddable(encode(PHOTO)))


def test_grey_and_ink_have_profiles_too():
    grey = encode(PHOTO.convert("L"), icc_profile=of_grey(1.8))
    assert np.abs(embeddable(grey, APPLY).astype(int) - embeddable(grey)).mean() > 2
    ink = encode(PHOTO.convert("CMYK"), "JPEG", icc_profile=of_ink())
    assert np.abs(embeddable(ink, APPLY).astype(int) - embeddable(ink)).mean() > 10
    assert preprocess(ink, APPLY, 10**6).format == "jpeg"


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_turned_picture_is_converted_once(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    profile = of_primaries(((0.3, 0.6), (0.64, 0.33), (0.15, 0.06)), D65, 2.2)
    plain, coded = (encode(PHOTO, exif=exif, icc_profile=icc) for icc in (None, profile))
    swapped = embeddable(plain)[..., [1, 0, 2]]
    assert largest_difference(embeddable(coded, APPLY), swapped) < 30
