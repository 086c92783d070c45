"""Options that would change an embedding are followed or refused, and the document says which."""

import re
from pathlib import Path

import pytest

from model_export.catalog import NANO
from model_export.checkpoints.configuration import Configuration, beside
from model_export.checkpoints.options import repositories, timm, transformers
from model_export.errors import CheckpointError

TABLES = {
    "timm: `model_args`": timm.TIMM,
    "timm: `pretrained_cfg`": timm.TIMM_PRETRAINED,
    "timm: the top of config.json": timm.TIMM_FILE,
    "transformers: SwinConfig, Swinv2Config": transformers.TRANSFORMERS,
    "transformers: TimmWrapperConfig": timm.TIMM_WRAPPER,
    "transformers: image processors": transformers.PROCESSOR,
    "The paper's repository: constructors": repositories.PAPER_CONSTRUCTOR,
    "The paper's repository: `MODEL.SWIN`, `MODEL.SWINV2`": repositories.PAPER,
    "The paper's repository: `MODEL`": repositories.PAPER_MODEL,
    "OpenMMLab: `backbone`": repositories.OPENMMLAB,
    "torchvision": repositories.TORCHVISION,
    "Settings of any training run": repositories.TRAINING_SETTINGS,
}
DOCUMENT = Path("docs/checkpoints.md")


def rows(table):
    """A table's options as the document has them: those treated alike in a row."""
    treated = {}
    for name, option in table.items():
        treated.setdefault(option.text, []).append(f"`{name}`")
    return [f"| {', '.join(names)} | {text} |" for text, names in treated.items()]


@pytest.mark.parametrize("heading", TABLES)
def test_the_document_says_what_becomes_of_every_option(heading):
    text = DOCUMENT.read_text()
    assert f"### {heading}\n" in text
    section = text.split(f"### {heading}\n")[1].split("\n#")[0]
    assert [line for line in section.splitlines() if line.startswith("| `")] == rows(
        TABLES[heading]
    )


def checked(model):
    said = Configuration(model)
    said.check()
    return said.geometry(NANO.architecture)


SWIN = {"model_type": "swin", "image_size": 224, "window_size": 7}


@pytest.mark.parametrize(
    ("model", "named"),
    [
        (SWIN | {"surprise": 1}, "surprise"),
        (SWIN | {"hidden_act": "relu"}, "hidden_act relu"),
        (SWIN | {"layer_norm_eps": 1e-6}, "layer_norm_eps"),
        (SWIN | {"use_absolute_embeddings": True}, "use_absolute_embeddings"),
        (SWIN | {"num_channels": 1}, "num_channels"),
        (SWIN | {"depths": [2, 2, 6, 2]}, "depths"),
        (SWIN | {"mlp_ratio": 2}, "mlp_ratio"),
        (SWIN | {"embed_dim": 96}, "embed_dim"),
        ({"model_args": {"global_pool": "max"}}, "model_args.global_pool max"),
        ({"global_pool": "max"}, "global_pool max"),
        ({"pretrained_cfg": {"global_pool": "max"}}, "pretrained_cfg.global_pool max"),
        ({"model_args": {"surprise": 1}}, "model_args.surprise"),
        ({"model_args": {"head_dim": 64}}, "head_dim 64"),
        ({"model_args": {"norm_layer": "rmsnorm"}}, "norm_layer rmsnorm"),
        ({"model_args": {"act_layer": "relu"}}, "act_layer relu"),
        ({"pretrained_cfg": {"surprise": 1}}, "pretrained_cfg.surprise"),
        ({"model_type": "timm_wrapper", "model_args": {"ape": True}}, "ape True"),
        ({"model_type": "timm_wrapper", "surprise": 1}, "surprise"),
    ],
)
def test_an_option_that_is_not_followed_is_refused_by_name(model, named):
    with pytest.raises(CheckpointError, match=re.escape(named)):
        checked(model)


def test_windows_are_shifted_everywhere_where_timm_is_told_to():
    known = checked({"model_args": {"img_size": 224, "always_partition": True}})
    assert known.always_partition
    assert known.shift(3, 1) == 3


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"config": {"MODEL": {"SWIN": {"QK_SCALE": 0.5}}}}, "qk_scale 0.5"),
        ({"config": {"MODEL": {"SWIN": {"SURPRISE": 1}}}}, "MODEL.SWIN.SURPRISE"),
        ({"config": {"MODEL": {"TYPE": "swin_moe", "SWIN": {}}}}, "TYPE swin_moe"),
        ({"hyper_parameters": {"model": {"global_pool": "max"}}}, "global_pool max"),
        ({"hparams": {"_content": {"ape": {"_val": True}}}}, "ape True"),
        ({"arch": "swin_tiny_patch4_window7_224", "args": {"gp": "max"}}, "global_pool max"),
    ],
)
def test_settings_in_a_checkpoint_must_not_say_otherwise(tmp_path, settings, named):
    with pytest.raises(CheckpointError, match=re.escape(named)):
        beside(tmp_path / "checkpoint.pth", settings)


def test_timms_training_script_says_which_network_it_is(tmp_path):
    kept = {"arch": "swinv2_tiny_window8_256", "args": {"img_size": 512, "crop_pct": 1.0}}
    said = beside(tmp_path / "checkpoint.pth", kept)
    assert said.published_name == "swinv2_tiny_window8_256"
    prepared = said.preprocessing(512, NANO.preprocessing)
    assert (prepared.resize, prepared.mean) == (512, NANO.preprocessing.mean)


def test_the_papers_settings_say_geometry_and_preparation(tmp_path):
    model = {"TYPE": "swinv2", "SWINV2": {"WINDOW_SIZE": 8, "APE": False}}
    data = {"IMG_SIZE": 256, "INTERPOLATION": "bicubic"}
    said = beside(tmp_path / "c.pth", {"config": {"MODEL": model, "DATA": data}})
    known = said.geometry(NANO.architecture)
    assert (known.image_size, known.windows) == (256, (8,) * 4)
    assert said.preprocessing(256, NANO.preprocessing).resize == 292  # int(256 / 224 * 256)


@pytest.mark.parametrize(
    ("processor", "named"),
    [
        ({"do_pad": True}, "do_pad True"),
        ({"do_grayscale": True}, "do_grayscale True"),
        ({"do_flip_channel_order": True}, "do_flip_channel_order True"),
        ({"size": {"shortest_edge": 256}}, "shortest_edge without do_center_crop"),
        ({"size": {"shortest_edge": 256, "longest_edge": 900}}, "longest_edge"),
        ({"surprise": 1}, "surprise"),
        ({"crop_pct": 0.9}, "crop_pct is not an option of ViTImageProcessor"),
        ({"image_processor_type": "SamImageProcessor"}, "SamImageProcessor is not built"),
    ],
)
def test_a_processor_is_followed_or_refused_by_name(processor, named):
    with pytest.raises(CheckpointError, match=re.escape(named)):
        Configuration({}, processor).preprocessing(224, NANO.preprocessing)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("ViTImageProcessorFast", (224, "stretch", "bilinear")),
        ("DeiTImageProcessor", (256, "stretch", "bicubic")),
        ("CLIPFeatureExtractor", (224, "short_side", "bicubic")),
    ],
)
def test_what_a_processor_does_not_say_is_its_class_own(kind, expected):
    prepared = Configuration({}, {"image_processor_type": kind}).preprocessing(
        224, NANO.preprocessing
    )
    assert (prepared.resize, prepared.resize_mode, prepared.interpolation) == expected
    assert prepared.crop_offset == "down"
