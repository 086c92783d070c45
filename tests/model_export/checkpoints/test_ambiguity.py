"""Files and configurations that can be understood in two ways, or say two things, are refused."""

import json
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import save_file

from model_export.checkpoints.configuration import beside
from model_export.checkpoints.reading import read
from model_export.errors import CheckpointError
from model_export.network import windows
from tests.support import layouts
from tests.support.small_model import SMALL_MODEL, SMALL_MODEL_V2
from tests.support.weights import lively

TENSORS = dict(lively(SMALL_MODEL.architecture).tensors)
TIMM = layouts.timm(TENSORS)
TIMM_V2 = layouts.timm(lively(SMALL_MODEL_V2.architecture).tensors)
TRANSFORMERS = layouts.transformers(TENSORS)
TWICE = {name: 2 * tensor for name, tensor in TIMM.items()}
WIDER = replace(SMALL_MODEL.architecture, channels=128, heads=(4, 8))
SWIN = {"model_type": "swin", "image_size": 32, "window_size": 4}
FIRST = "layers.0.blocks.0.mlp.fc1"


def behind(prefix, file):
    return {prefix + name: tensor for name, tensor in file.items()}


@pytest.fixture
def folder(tmp_path):
    """A folder of weights and JSON files."""

    def made(tensors, **files):
        arrays = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
        save_file(arrays, tmp_path / "model.safetensors")
        for name, content in files.items():
            (tmp_path / f"{name}.json").write_text(json.dumps(content))
        return tmp_path

    return made


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        (behind("model.", TIMM) | behind("module.", TWICE), "'model.' and 'module.'"),
        (behind("base.", TIMM) | behind("thematic.", TWICE), "'base.' and 'thematic.'"),
        (
            behind("student.", TIMM) | behind("teacher.", layouts.timm(lively(WIDER).tensors)),
            "'student.' and 'teacher.'",
        ),
        (
            {("module." if i % 2 else "") + n: t for i, (n, t) in enumerate(TIMM.items())},
            "'' and 'module.'",
        ),
        (
            TIMM | {f"model_ema.{n.replace('.', '')}": t for n, t in TWICE.items()},
            "averaged weights too, under names that are not read",
        ),
        (TIMM | {"prompt_embeddings": np.ones((1, 5, 64))}, "unexpected prompt_embeddings"),
        (TIMM | {"pos_embed": np.ones((1, 64, 64))}, "unexpected pos_embed"),
        (TIMM | {"patch_embed.proj.weight": np.ones((64, 3, 7, 7))}, "convolution of 7 x 7"),
        (TRANSFORMERS | {"swin.encoder.layers.0.query.SCB": np.ones(1)}, "quantised weights"),
        (TRANSFORMERS | {"swin.encoder.layers.0.query.qweight": np.ones(1)}, "quantised weights"),
        (TIMM | {f"{FIRST}.weight_orig": np.ones(1)}, "prune.remove"),
        (TIMM | {f"{FIRST}.parametrizations.weight.original0": np.ones(1)}, "prune.remove"),
        (
            {n.replace("blocks.0.", "blocks.0._orig_mod."): t for n, t in TIMM.items()},
            "the names of torch's wrappers among its own",
        ),
    ],
)
def test_tensors_that_leave_it_open_what_is_computed_are_refused(folder, file, reason):
    with pytest.raises(CheckpointError) as caught:
        read(folder(file))
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_network_under_two_names_is_one(folder):
    _, checkpoint = read(folder(behind("model.", TIMM) | behind("backbone.model.", TIMM)))
    assert "behind 'model.'" in checkpoint.notes[0]


def test_an_average_is_taken_and_what_it_is_of_is_left_out(folder):
    _, checkpoint = read(folder(behind("model.", TIMM) | behind("ema.", TWICE)))
    name = "stages.0.blocks.0.mlp.fc1.weight"
    np.testing.assert_array_equal(checkpoint.tensors[name], 2 * TENSORS[name])


def test_an_index_of_relative_positions_that_is_not_a_swins_is_refused(folder):
    index = windows.relative_position_index(4)
    blocks = [f"layers.{stage}.blocks.{block}.attn" for stage in (0, 1) for block in (0, 1)]
    indices = {f"{block}.relative_position_index": index for block in blocks}
    read(folder(TIMM | indices))
    indices[f"{blocks[2]}.relative_position_index"] = index.T
    with pytest.raises(CheckpointError, match=r"layers\.1\.blocks\.0.* other values than a Swin"):
        read(folder(TIMM | indices))


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (SWIN | {"qkv_bias": False}, "bias of queries, .* says qkv_bias False"),
        (SWIN | {"model_type": "swinv2"}, "model_type is swinv2"),
        (SWIN | {"auto_map": {"AutoModel": "modeling.Mine"}}, "auto_map .* its code is not run"),
        (SWIN | {"quantization_config": {"bits": 4}}, "save the network in float32"),
        ({"model_type": "upernet", "backbone_config": SWIN}, "the backbone's own configuration"),
        ({"architecture": "swin_base_patch4_window7_224"}, "embed_dim is 128, and its tensors"),
        ({"architecture": "vit_base_patch16_224"}, "vit_base_patch16_224 is not a Swin"),
        ({"architecture": "swinv2_tiny_window8_256"}, "its tensors are not"),
        ({"model_args": {"norm_layer": "layernorm"}}, "norm_layer layernorm is not built"),
        ({"model_args": {"always_partition": "no"}}, "neither true nor false"),
        ({"pretrained_cfg": {"input_size": [1, 32, 32]}}, "not of images with 3 channels"),
    ],
)
def test_a_configuration_of_another_network_is_refused(folder, config, reason):
    layout = TRANSFORMERS if "model_type" in config else TIMM
    with pytest.raises(CheckpointError, match=reason):
        read(folder(layout, config=config))


@pytest.mark.parametrize(
    "given", [{"img_size": 32}, {}, {"img_size": 32, "pretrained_window_sizes": [3, 2]}]
)
def test_v2_without_windows_is_not_guessed(folder, given):
    with pytest.raises(CheckpointError, match="no window_size, and its tensors do not tell it"):
        read(folder(TIMM_V2, config={"model_args": given, "architecture": "my_swinv2"}))


@pytest.mark.parametrize(
    ("file", "asked", "given"),
    [
        (TIMM, SMALL_MODEL, {"always_partition": True}),
        (TIMM_V2, SMALL_MODEL_V2, {"window_size": 2}),
        (TIMM_V2, SMALL_MODEL_V2, {"pretrained_window_sizes": [3, 2]}),
    ],
)
def test_a_name_and_a_configuration_must_not_say_two_things(folder, file, asked, given):
    path = folder(file, config={"model_args": {"img_size": 32, "window_size": 4} | given})
    with pytest.raises(CheckpointError, match="leave the name out, or remove what is wrong"):
        read(path, asked)


def test_a_processor_inside_another_configuration_comes_first(folder):
    nested = {"image_processor_type": "ViTImageProcessor", "size": 32, "image_mean": 0.25}
    path = folder(
        TRANSFORMERS,
        config=SWIN,
        processor_config={"processor_class": "Mine", "image_processor": nested},
        preprocessor_config={"size": 32},
    )
    assert read(path)[0].preprocessing.mean == (0.25,) * 3


@pytest.mark.parametrize(
    "change",
    [
        lambda places: places | {"ghost": "a.safetensors"},
        lambda places: {name: places[name] for name in sorted(places)[1:]},
        lambda places: {n: "ba"["ba".index(p[0]) - 1] + p[1:] for n, p in places.items()},
    ],
    ids=["more", "fewer", "others"],
)
def test_an_index_and_its_shards_must_agree(tmp_path, change):
    places = {name: f"{'ab'[i % 2]}.safetensors" for i, name in enumerate(sorted(TIMM))}
    for file in set(places.values()):
        save_file(
            {n: TIMM[n].copy() for n, place in places.items() if place == file}, tmp_path / file
        )
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": places}))
    read(tmp_path)
    index.write_text(json.dumps({"weight_map": change(places)}))
    with pytest.raises(CheckpointError, match="do not agree on"):
        read(tmp_path)


BACKBONE = "model = dict(backbone=dict(type='mmpretrain.SwinTransformerV2', {}))"


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"model_args": {"global_pool": "max"}}, "global_pool max"),
        ({"hyper_parameters": {"net": {"ape": True}}}, "ape True"),
        ({"hyper_parameters": {"nets": [1, {"ape": True}]}}, "ape True"),
        ({"hparams": {"nets": {"_content": [{"_content": {"ape": {"_val": True}}}]}}}, "ape True"),
        ({"meta": {"cfg": BACKBONE.format("qk_scale=0.5")}}, "qk_scale 0.5"),
        ({"meta": {"config": BACKBONE.format("act_cfg=dict(type='ReLU')")}}, "act_cfg .*ReLU"),
        ({"meta": {"cfg": BACKBONE.format("surprise=1")}}, "surprise is not an option"),
        ({"meta": {"cfg": "x" * 300_000}}, "more than 256 KiB"),
    ],
)
def test_settings_in_a_file_are_searched_wherever_they_lie(tmp_path, settings, reason):
    with pytest.raises(CheckpointError, match=reason):
        beside(tmp_path / "checkpoint.pth", settings)


@pytest.mark.parametrize(
    "windows", ["window_size=[4, 4]", "stage_cfgs=dict(block_cfgs=dict(window_size=4))"]
)
def test_openmmlabs_configuration_tells_the_geometry(tmp_path, windows):
    text = BACKBONE.format(f"img_size=32, {windows}, drop_path_rate=0.2")
    said = beside(tmp_path / "checkpoint.pth", {"meta": {"cfg": text}})
    known = said.geometry(replace(SMALL_MODEL_V2.architecture, image_size=0, windows=(0, 0)))
    assert (known.image_size, known.windows) == (32, (4, 4))


@pytest.mark.parametrize("text", ["not (python", "(" * 10_000, "x = 1", "model = dict(**y)"])
def test_a_configuration_that_makes_no_swin_says_nothing(tmp_path, text):
    assert not beside(tmp_path / "checkpoint.pth", {"meta": {"cfg": text}}).says_geometry
