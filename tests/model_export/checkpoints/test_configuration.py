"""What lies beside a checkpoint can hold anything: it is built, or refused in a line."""

import pytest

from model_export.catalog import NANO
from model_export.checkpoints.configuration import Configuration
from model_export.errors import CheckpointError

MEANS = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.25, 0.5]}
CROP = {"do_center_crop": True, "crop_size": 224}
TIMM = {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.25, 0.5]}


def geometry(model):
    said = Configuration(model)
    said.check()
    found = said.geometry(NANO.architecture)
    return found.image_size, found.windows, found.pretrained_windows


@pytest.mark.parametrize(
    "model",
    [
        {"pretrained_cfg": None},
        {"model_args": {"img_size": 224, "window_size": 7}},
        {"model_args": {"img_size": [224, 224], "window_size": [7, 7]}},
        {"model_args": {"img_size": 224, "window_size": [[7, 7]] * 4}},
        {"model_type": "swin", "image_size": 224, "window_size": [7, 7]},
        {"model_type": "swin", "pretrained_window_sizes": None},
    ],
)
def test_a_number_a_pair_and_nothing_say_the_same(model):
    assert geometry(model) == (224, (7, 7, 7, 7), ())


def test_stages_have_windows_of_their_own():
    given = {"img_size": 256, "window_size": [16, 16, 16, 8]}
    given["pretrained_window_sizes"] = [12, 12, 12, 6]
    assert geometry({"model_args": given}) == (256, (16, 16, 16, 8), (12, 12, 12, 6))


@pytest.mark.parametrize(
    "model",
    [
        {"model_type": None},
        {"model_type": "swin", "image_size": 0},
        {"model_type": "swin", "image_size": "224"},
        {"model_type": "swin", "image_size": None},
        {"model_type": "swin", "image_size": []},
        {"model_type": "swin", "window_size": 0},
        {"model_type": "swin", "window_size": None},
        {"model_type": "swin", "window_size": [7, 8]},
        {"model_type": "swin", "window_size": [7, 7, 7]},
        {"model_type": "swin", "pretrained_window_sizes": 7},
        {"model_type": "swin", "layer_norm_eps": "small"},
        {"model_args": {"img_size": 224, "window_size": None}},
        {"model_args": [224]},
        {"pretrained_cfg": {"input_size": {}}},
    ],
)
def test_a_geometry_that_cannot_be_built_is_refused_in_a_line(model):
    with pytest.raises(CheckpointError, match=r"^config\.json: [^\n]+$"):
        geometry(model)


@pytest.mark.parametrize("name", [None, ["swin_tiny_patch4_window7_224"], {}])
def test_a_name_that_is_none_is_no_name(name):
    assert Configuration({"architecture": name}, {}).published_name is None


def test_a_name_has_its_tag_if_that_is_published():
    model = {"architecture": "swin_tiny_patch4_window7_224"}
    assert Configuration(model, {}).published_name == model["architecture"]
    model["pretrained_cfg"] = {"tag": "ms_in22k"}
    assert Configuration(model, {}).published_name == "swin_tiny_patch4_window7_224.ms_in22k"
    model["pretrained_cfg"] = {"tag": "mine"}
    assert Configuration(model, {}).published_name == model["architecture"]


def test_the_steps_that_the_service_takes_may_be_written_down():
    steps = {"do_resize": True, "do_rescale": True, "do_normalize": True}
    said = MEANS | steps | {"rescale_factor": 0.00392156862745098, "size": 224}
    prepared = Configuration({}, said).preprocessing(224, NANO.preprocessing)
    assert prepared.mean == (0.5, 0.5, 0.5)
    cut = {"size": {"shortest_edge": 256}, "do_center_crop": True, "crop_size": {"height": 224}}
    cut["crop_size"]["width"] = 224
    prepared = Configuration({}, said | cut).preprocessing(224, NANO.preprocessing)
    assert (prepared.resize, prepared.resize_mode, prepared.crop) == (256, "short_side", 224)


@pytest.mark.parametrize(
    ("model", "preprocessor", "reason"),
    [
        ({}, {"do_normalize": False}, "do_normalize False is not built; only True"),
        ({}, {"do_rescale": False}, "do_rescale False is not built"),
        ({}, {"do_resize": False}, "do_resize False is not built"),
        ({}, {"rescale_factor": 1.0}, "rescale_factor 1.0 is not built"),
        ({}, {"rescale_factor": None}, "rescale_factor null is not built"),
        ({}, {"resample": 9}, "resample 9 is not built; only 1, 2, 3"),
        ({}, {"size": {"longest_edge": 224}}, r'size \{"longest_edge": 224\} is not built'),
        ({}, {"size": {"shortest_edge": 200}} | CROP, "crops of 224 from images resized to 200"),
        ({}, {"do_center_crop": True, "crop_size": None}, "no 'crop_size'"),
        ({}, {"image_mean": "grey"}, "image_mean grey is not a number"),
        ({}, {"image_mean": [0.5, 0.5]}, "image_mean .* is not a number"),
        ({}, {"image_std": [0, 0, 0]}, "std 0 Input should be greater than 0; std 1"),
        ({"pretrained_cfg": TIMM | {"crop_pct": 0}}, {}, "float division by zero"),
        ({"pretrained_cfg": TIMM | {"crop_pct": "most"}}, {}, "crop_pct most is not a number"),
        ({"pretrained_cfg": TIMM | {"crop_pct": 1.1}}, {}, "crops of 224 from images"),
        (
            {"pretrained_cfg": TIMM | {"crop_mode": "border"}},
            {},
            "crop_mode border is not built; only center, squash",
        ),
        ({"pretrained_cfg": TIMM | {"interpolation": "random"}}, {}, "interpolation Input should"),
    ],
)
def test_a_preparation_that_is_not_built_is_refused_in_a_line(model, preprocessor, reason):
    said = Configuration(model, MEANS | {"size": 224} | preprocessor if preprocessor else {})
    with pytest.raises(CheckpointError, match=rf"^[^\n]+ \({reason}[^\n]+$"):
        said.preprocessing(224, NANO.preprocessing)
