"""Pixels that the service prepares in `exact` mode, against the libraries' arithmetic.

transformers' image processors are run themselves, on Pillow. timm's evaluation transform (1.0.31)
stands here as the Pillow calls that torchvision makes of it. Twenty configurations, and photos of
twenty sizes: every grey level must be the same.
"""

import importlib
import io
import math

import numpy as np
import pytest
from PIL import Image

from model_export.catalog import NANO
from model_export.checkpoints.configuration import Configuration
from model_export.errors import CheckpointError
from service.images.preprocess import preprocess

SIZES = (
    *((224, 224), (225, 224), (224, 225), (256, 256), (300, 200), (200, 300), (341, 256)),
    *((500, 333), (333, 500), (640, 427), (427, 640), (511, 513), (37, 53), (100, 100)),
    *((801, 599), (232, 309), (1024, 768), (768, 1024), (76, 1200), (1199, 75)),
)
"""Width and height."""

FILTERS = {"bicubic": Image.BICUBIC, "bilinear": Image.BILINEAR, "lanczos": Image.LANCZOS}


def photo(width, height):
    """Gradients, edges and noise."""
    generator = np.random.default_rng(width * 10_000 + height)
    rows, columns = np.mgrid[:height, :width]
    smooth = np.stack([rows * 3 + columns, rows + columns * 2, rows ^ columns], axis=-1) % 256
    noisy = smooth + generator.integers(-40, 40, smooth.shape)
    return Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))


def prepared(image, said, image_size):
    recipe = said.preprocessing(image_size, NANO.preprocessing)
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=0)
    return preprocess(file.getvalue(), recipe, 10**8, exact=True).pixels


PROCESSORS = [
    ("vit", "ViT", 224, {}),
    ("vit", "ViT", 224, {"resample": 3}),
    ("vit", "ViT", 256, {"size": {"height": 256, "width": 256}, "resample": 1}),
    ("deit", "DeiT", 224, {}),
    ("deit", "DeiT", 192, {"size": {"height": 219, "width": 219}, "crop_size": 192}),
    ("beit", "Beit", 224, {}),
    ("beit", "Beit", 224, {"do_center_crop": True, "crop_size": 224, "size": 256}),
    ("bit", "Bit", 224, {}),
    ("bit", "Bit", 224, {"size": {"shortest_edge": 255}, "resample": 2}),
    ("clip", "CLIP", 224, {}),
    ("clip", "CLIP", 336, {"size": {"shortest_edge": 337}, "crop_size": 336}),
    ("convnext", "ConvNext", 384, {}),
    ("convnext", "ConvNext", 224, {"size": {"shortest_edge": 224}}),
    ("convnext", "ConvNext", 224, {"size": {"shortest_edge": 224}, "crop_pct": 0.9}),
]


@pytest.mark.slow
@pytest.mark.torch
@pytest.mark.parametrize(("module", "name", "image_size", "given"), PROCESSORS)
def test_pixels_are_those_of_transformers(module, name, image_size, given):
    pytest.importorskip("transformers")
    theirs = importlib.import_module(f"transformers.models.{module}.image_processing_pil_{module}")
    processor = getattr(theirs, f"{name}ImageProcessorPil")(**given)
    said = Configuration({}, given | {"image_processor_type": f"{name}ImageProcessor"})
    for size in SIZES:
        image = photo(*size)
        levels = processor(image, do_rescale=False, do_normalize=False)["pixel_values"][0]
        expected = np.asarray(levels).transpose(1, 2, 0)
        np.testing.assert_array_equal(prepared(image, said, image_size), expected, str(size))


def timms(image, image_size, crop_pct, crop_mode, interpolation):
    scale = math.floor(image_size / crop_pct)
    width, height = image.size
    if crop_mode == "squash":
        resized = scale, scale
    elif width <= height:
        resized = scale, int(scale * height / width)
    else:
        resized = int(scale * width / height), scale
    image = image.resize(resized, FILTERS[interpolation])
    left, top = (round((side - image_size) / 2.0) for side in resized)
    return np.asarray(image.crop((left, top, left + image_size, top + image_size)))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("image_size", "crop_pct", "crop_mode", "interpolation"),
    [
        (224, 0.9, "center", "bicubic"),
        (224, 0.875, "center", "bilinear"),
        (224, 0.95, "squash", "lanczos"),
        (256, 0.9, "squash", "bicubic"),
        (384, 1.0, "squash", "bilinear"),
        (192, 0.9, "center", "lanczos"),
        (384, 1.0, "center", "bicubic"),
    ],
)
def test_pixels_are_those_of_timm(image_size, crop_pct, crop_mode, interpolation):
    options = {"crop_pct": crop_pct, "crop_mode": crop_mode, "interpolation": interpolation}
    said = Configuration({"pretrained_cfg": options})
    for size in SIZES:
        image = photo(*size)
        expected = timms(image, image_size, **options)
        np.testing.assert_array_equal(prepared(image, said, image_size), expected, str(size))


@pytest.mark.parametrize(
    "name",
    [
        *("ViTHybrid", "Levit", "EfficientNet", "Swin2SR", "PoolFormer", "MobileViT", "Siglip"),
        *("Segformer", "Perceiver", "Donut", "ConvNextV2", "ViTMAE", "Mine"),
    ],
)
@pytest.mark.parametrize("ending", ["ImageProcessor", "ImageProcessorFast", "FeatureExtractor"])
def test_a_processor_that_is_not_built_is_refused_by_name(name, ending):
    said = Configuration({}, {"image_processor_type": name + ending, "size": 224})
    with pytest.raises(CheckpointError, match=f"image_processor_type {name}{ending} is not built"):
        said.preprocessing(224, NANO.preprocessing)
