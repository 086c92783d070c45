"""Images to measure with: from a folder as a model wants them, or made up."""

import numpy as np
import pytest
from PIL import Image

from model_export.catalog import imagenet
from model_export.errors import CalibrationError
from model_export.precision import calibration
from service.images.preprocess import preprocess
from tests.support.images import encode, photos


@pytest.mark.parametrize("mode", ["short_side", "stretch"])
def test_images_from_a_folder_are_prepared_as_the_service_does(tmp_path, mode):
    recipe = imagenet(64, resize=72).model_copy(update={"resize_mode": mode})
    for name, photo in photos().items():
        photo.save(tmp_path / f"{name}.png")
    (tmp_path / "notes.txt").write_text("not an image")
    prepared = calibration.images(tmp_path, recipe)
    served = [
        preprocess(encode(photo), recipe, 10**7, exact=True).pixels
        for _, photo in sorted(photos().items())
    ]
    assert prepared.shape == (6, 64, 64, 3)
    assert np.abs(prepared.astype(int) - np.stack(served)).max() <= 1


def test_of_many_images_some_from_all_over_the_folder_are_taken(tmp_path, monkeypatch):
    monkeypatch.setattr(calibration, "MOST", 3)
    for grey in range(5):
        Image.new("RGB", (8, 8), (grey,) * 3).save(tmp_path / f"{grey}.png")
    assert calibration.images(tmp_path, imagenet(8, 8))[:, 0, 0, 0].tolist() == [0, 2, 4]


def test_a_folder_without_images_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("not an image")
    with pytest.raises(CalibrationError, match="holds 0 images"):
        calibration.images(tmp_path, imagenet(32, 32))


def test_a_damaged_image_is_named(tmp_path):
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).write_bytes(b"\xff\xd8\xff")
    with pytest.raises(CalibrationError, match=r"cannot read .*a\.jpg"):
        calibration.images(tmp_path, imagenet(32, 32))


def test_made_up_images_are_the_same_every_time_and_differ_from_one_another():
    first = [calibration.procedural(32, seed) for seed in range(4)]
    for seed, image in enumerate(first):
        np.testing.assert_array_equal(image, calibration.procedural(32, seed))
    assert len({image.tobytes() for image in first}) == 4
    assert all(image.std() > 10 for image in first)
