"""Files of every dialect to an entry and canonical tensors, or to everything wrong with them."""

import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import save, save_file

from model_export.catalog import NANO, find
from model_export.checkpoints.reading import read
from model_export.errors import CheckpointError
from model_export.network import windows
from tests.support import layouts
from tests.support.small_model import SMALL_MODEL, SMALL_MODEL_V2
from tests.support.weights import lively

OURS = {"swin": lively(SMALL_MODEL.architecture), "swinv2": lively(SMALL_MODEL_V2.architecture)}
ENTRIES = {"swin": SMALL_MODEL, "swinv2": SMALL_MODEL_V2}
HEAD = {
    "head.weight": np.ones((10, 128), np.float32),
    "head.bias": np.arange(10, dtype=np.float32),
}


@pytest.fixture
def saved(tmp_path):
    """Write tensors to a file."""

    def save_tensors(tensors, name="checkpoint.safetensors"):
        path = tmp_path / name
        save_file({n: np.ascontiguousarray(t) for n, t in tensors.items()}, path)
        return path

    return save_tensors


@pytest.fixture
def file():
    return layouts.timm(OURS["swin"].tensors)


def assert_equal(tensors, expected):
    assert tensors.keys() == expected.keys()
    for name, tensor in expected.items():
        np.testing.assert_array_equal(tensors[name], tensor)
        assert tensors[name].dtype == np.float32


@pytest.mark.parametrize("version", OURS)
@pytest.mark.parametrize(
    "layout", [layouts.timm, layouts.paper, layouts.transformers, layouts.torchvision]
)
def test_every_dialect_comes_to_the_same_tensors(saved, layout, version):
    expected = OURS[version].tensors | HEAD
    path = saved(layout(expected))
    entry, checkpoint = read(path, ENTRIES[version])
    assert_equal(checkpoint.tensors, expected)
    assert checkpoint.pretrained
    assert entry.architecture.depths == (2, 2)
    library = layout.__name__.replace("paper", "paper's repository")
    assert f"in {library}" in checkpoint.notes[0].replace("the ", "")


@pytest.mark.parametrize("version", OURS)
def test_openmmlabs_merging_comes_to_the_papers_order(saved, version):
    expected = OURS[version].tensors
    _, checkpoint = read(saved(layouts.openmmlab(expected)), ENTRIES[version])
    assert_equal(checkpoint.tensors, expected)
    assert "in OpenMMLab" in checkpoint.notes[0]


def test_simmims_v2_is_read_behind_its_encoder(saved):
    expected = OURS["swinv2"].tensors
    _, checkpoint = read(saved(layouts.simmim(expected)), SMALL_MODEL_V2)
    assert_equal(checkpoint.tensors, expected)
    assert "in SimMIM's layout behind 'encoder.'" in checkpoint.notes[0]


@pytest.mark.parametrize("layout", [layouts.timm, layouts.paper, layouts.openmmlab])
def test_a_backbones_last_norm_is_taken_and_that_is_said(saved, layout):
    expected = OURS["swin"].tensors
    _, checkpoint = read(saved(layouts.with_stage_norms(layout(expected))), SMALL_MODEL)
    assert_equal(checkpoint.tensors, expected)
    assert any("the embedding takes norm1, the LayerNorm" in note for note in checkpoint.notes)


def test_a_mask_tells_the_image_size(saved):
    larger = replace(SMALL_MODEL.architecture, image_size=64)
    file = layouts.paper(lively(larger).tensors)
    file["layers.0.blocks.1.attn_mask"] = windows.attention_mask(16, 16, 4, 2)
    file["layers.1.blocks.1.attn_mask"] = windows.attention_mask(8, 8, 4, 2)
    path = saved(file)
    assert read(path)[0].architecture.image_size == 64
    with pytest.raises(CheckpointError, match=r"attn_mask has shape .*images of another size"):
        read(path, SMALL_MODEL)


def test_one_bias_that_the_others_have_is_not_filled_in(saved, file):
    del file["layers.1.blocks.0.attn.qkv.bias"]
    with pytest.raises(CheckpointError, match=r"missing layers\.1\.blocks\.0\.attn\.qkv\.bias"):
        read(saved(file))


def test_weights_that_are_not_finite_are_named(saved, file):
    name = "layers.0.blocks.1.mlp.fc1.bias"
    file[name] = file[name].copy()
    file[name][3:5] = np.nan
    path = saved(file)
    with pytest.raises(CheckpointError, match=r"blocks\.1\.mlp\.fc1\.bias holds 2 values"):
        read(path)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("base_model.model.swin.encoder.layers.0.query.lora_A.weight", "LoRA.*merge it into"),
        ("layers.2.blocks.1.mlp._moe_layer.experts.batched_fc1_w", "Swin-MoE"),
    ],
)
def test_relatives_of_a_swin_are_refused_by_name(saved, file, name, reason):
    with pytest.raises(CheckpointError, match=reason):
        read(saved(file | {name: np.zeros(1, np.float32)}))


def test_names_from_a_file_do_not_control_a_terminal(saved, file):
    _, checkpoint = read(saved(file | {"other.\x1b[2J": np.zeros(1, np.float32)}))
    assert "other.\ufffd[2J" in checkpoint.notes[-1]
    del file["norm.weight"]
    with pytest.raises(CheckpointError, match=r"^[^\x1b]+\ufffd"):
        read(saved(file | {"layers.\x1b[2J": np.zeros(1, np.float32)}))


def test_an_adapter_beside_the_weights_is_not_left_out_in_silence(saved, file, tmp_path):
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(CheckpointError, match="merge it into its base"):
        read(saved(file))


def test_one_shard_is_refused(saved, file):
    with pytest.raises(CheckpointError, match="part 1 of 6 of a checkpoint"):
        read(saved(file, "model-00001-of-00006.safetensors"))


def test_an_index_does_not_lead_out_of_its_folder(tmp_path):
    index = {"weight_map": {"a": "../secret.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match="must lie beside their index"):
        read(tmp_path)


@pytest.mark.parametrize("size", [10**9, [224, 320], 4096])
def test_absurd_sizes_are_refused_before_anything_is_made(saved, tmp_path, size):
    config = {"model_type": "swin", "image_size": size, "window_size": 4}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=r"^[^\n]+(more than 2,048 pixels|not square)[^\n]+$"):
        read(saved(layouts.transformers(OURS["swin"].tensors)))


@pytest.mark.parametrize("prefix", ["module.", "backbone.", "student.", "module.model."])
def test_what_stands_before_all_names_is_left_away(saved, file, prefix):
    path = saved({prefix + name: tensor for name, tensor in file.items()})
    _, checkpoint = read(path)
    assert_equal(checkpoint.tensors, OURS["swin"].tensors)
    assert f"behind '{prefix}'" in checkpoint.notes[0]


def test_a_file_that_says_where_its_weights_are_from_is_believed(file, tmp_path):
    path = tmp_path / "model.safetensors"
    halves = {name: tensor.astype(np.float16) for name, tensor in file.items()}
    save_file(halves, path, {"source": "somebody/something", "licence": "MIT"})
    _, checkpoint = read(path)
    assert checkpoint.weights.source == "somebody/something"
    assert checkpoint.licence == "MIT"
    rounded = {n: t.astype(np.float16).astype(np.float32) for n, t in OURS["swin"].tensors.items()}
    assert_equal(checkpoint.tensors, rounded)


def test_a_teacher_is_preferred_to_its_student(saved, file):
    both = {f"student.{n}": t * 2 for n, t in file.items()}
    both |= {f"teacher.{n}": t for n, t in file.items()}
    assert_equal(read(saved(both))[1].tensors, OURS["swin"].tensors)


def test_v1s_architecture_is_in_its_tensors(saved, file):
    architecture = read(saved(file))[0].architecture
    assert architecture.name == "swin_c64_d2-2_window4_32"
    assert replace(architecture, name=SMALL_MODEL.architecture.name) == SMALL_MODEL.architecture


def test_a_published_architecture_is_recognised_and_brings_its_preprocessing(saved):
    entry, _ = read(saved(layouts.paper(lively(NANO.architecture).tensors)))
    assert entry == NANO


def test_torchvisions_v2_says_its_windows_in_its_buffers(saved):
    path = saved(layouts.torchvision(OURS["swinv2"].tensors))
    architecture = read(path)[0].architecture
    assert (architecture.image_size, architecture.windows) == (32, (4, 4))
    assert architecture.pretrained_windows == ()


def test_v2_without_a_hint_is_not_guessed(saved):
    with pytest.raises(CheckpointError, match=r"do not tell windows and image size.*name it"):
        read(saved(layouts.timm(OURS["swinv2"].tensors)))


def test_transformers_configuration_tells_geometry_and_preprocessing(saved, tmp_path):
    config = {"model_type": "swinv2", "image_size": 32, "window_size": 4}
    config |= {"pretrained_window_sizes": [3, 2]}
    (tmp_path / "config.json").write_text(json.dumps(config))
    preprocessor = {"size": {"height": 32, "width": 32}, "resample": 2, "do_resize": True}
    preprocessor |= {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.25, 0.5]}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(preprocessor))
    saved(layouts.transformers(OURS["swinv2"].tensors, "swinv2."), "model.safetensors")
    entry, _ = read(tmp_path)
    assert entry.architecture.pretrained_windows == (3, 2)
    assert entry.architecture.mask_value == -200  # transformers adds the mask twice
    prepared = entry.preprocessing
    assert (prepared.resize, prepared.resize_mode, prepared.crop) == (32, "stretch", 32)
    assert (prepared.interpolation, prepared.std) == ("bilinear", (0.5, 0.25, 0.5))


def test_timms_configuration_tells_the_published_model_and_preprocessing(saved, tmp_path):
    config = {"architecture": "swin_nano_patch4_window7_224"}
    config["pretrained_cfg"] = {"input_size": [3, 224, 224], "crop_pct": 0.875} | {
        "mean": [0.5] * 3,
        "std": [0.5] * 3,
        "interpolation": "bilinear",
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    saved(layouts.timm(lively(NANO.architecture).tensors), "model.safetensors")
    entry, _ = read(tmp_path)
    assert entry.architecture == NANO.architecture
    assert (entry.preprocessing.resize, entry.preprocessing.interpolation) == (256, "bilinear")


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"model_type": "vit"}, "of a 'vit', not of a Swin"),
        ({"model_type": "swin", "hidden_act": "relu"}, "hidden_act relu is not built"),
        ({"model_type": "swin", "image_size": [32, 64]}, "not square"),
        ({"model_type": "swin", "image_size": 40, "window_size": 4}, "do not fill"),
    ],
)
def test_a_configuration_that_cannot_be_built_is_refused(saved, tmp_path, config, reason):
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=reason):
        read(saved(layouts.transformers(OURS["swin"].tensors)))


def test_shards_are_read_by_their_index(saved, file, tmp_path):
    names = sorted(file)
    saved({n: file[n] for n in names[::2]}, "model-00001-of-00002.safetensors")
    saved({n: file[n] for n in names[1::2]}, "model-00002-of-00002.safetensors")
    shards = [f"model-0000{i}-of-00002.safetensors" for i in (1, 2)]
    index = {"weight_map": {n: shards[i % 2] for i, n in enumerate(names)}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    _, checkpoint = read(tmp_path)
    assert_equal(checkpoint.tensors, OURS["swin"].tensors)
    content = b"".join((tmp_path / shard).read_bytes() for shard in shards)
    assert checkpoint.weights.sha256 == hashlib.sha256(content).hexdigest()
    (tmp_path / shards[1]).unlink()
    with pytest.raises(CheckpointError, match=f"not beside it: {shards[1]}"):
        read(tmp_path)


def test_the_card_gets_the_files_name_and_hash(saved, file):
    path = saved(file)
    weights = read(path)[1].weights
    assert weights.source == "checkpoint.safetensors"
    assert weights.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_half_precision_becomes_float32(saved, file):
    halved = {name: tensor.astype(np.float16) for name, tensor in file.items()}
    _, checkpoint = read(saved(halved))
    expected = OURS["swin"].tensors["norm.weight"].astype(np.float16).astype(np.float32)
    np.testing.assert_array_equal(checkpoint.tensors["norm.weight"], expected)


def test_attention_without_biases_has_biases_of_zero(saved, file):
    path = saved({name: t for name, t in file.items() if not name.endswith("qkv.bias")})
    tensors = read(path)[1].tensors
    assert not tensors["stages.0.blocks.0.attention.qkv.bias"].any()


def test_buffers_and_what_is_not_the_networks_are_left_out_and_that_is_said(saved, file):
    index = windows.relative_position_index(4)
    blocks = ("layers.0.blocks.0", "layers.0.blocks.1", "layers.1.blocks.0", "layers.1.blocks.1")
    extra = {f"{block}.attn.relative_position_index": index for block in blocks}
    extra |= {
        "layers.0.blocks.1.attn_mask": windows.attention_mask(8, 8, 4, 2),
        "decode_head.conv.weight": np.zeros((3, 3), np.float32),
    }
    _, checkpoint = read(saved(file | extra))
    assert_equal(checkpoint.tensors, OURS["swin"].tensors)
    assert checkpoint.notes[1:] == (
        "left out 5 buffers that the geometry determines",
        "left out 1 tensors that are not the network's: decode_head.conv.weight",
    )


def test_everything_wrong_is_named_at_once(saved, file):
    del file["norm.bias"], file["layers.0.blocks.1.mlp.fc2.weight"]
    file["layers.7.surprise"] = np.zeros(1, np.float32)
    file["absolute_pos_embed"] = np.zeros(1, np.float32)
    file["patch_embed.proj.bias"] = np.zeros(65, np.float32)
    file["norm.weight"] = np.zeros(128, np.int64)
    with pytest.raises(CheckpointError) as caught:
        read(saved(file))
    assert str(caught.value).split(": ", 1)[1] == (
        "missing layers.0.blocks.1.mlp.fc2.weight, norm.bias; "
        "unexpected absolute_pos_embed, layers.7.surprise; "
        "patch_embed.proj.bias has shape [65], not [64]; "
        "norm.weight holds I64, not one of F16, BF16, F32, F64"
    )


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty; download it again"),
        (b"not a checkpoint", "neither a safetensors file nor one that torch.save wrote"),
        (save({"a": np.zeros(100, np.float32)})[:-10], "not a whole one"),
    ],
    ids=["empty", "text", "truncated"],
)
def test_another_kind_of_file_is_refused(tmp_path, content, reason):
    path = tmp_path / "checkpoint.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=reason):
        read(path)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("cls_token", "a Vision Transformer"),
        ("blocks.0.pos_embed", "a Vision Transformer"),
        ("stages.0.blocks.0.conv_dw.weight", "a ConvNeXt"),
        ("layer1.0.conv1.weight", "a ResNet"),
        ("something.else", r"no Swin Transformer: 1 tensors \(something.else"),
    ],
)
def test_another_network_is_refused_by_what_it_looks_like(saved, name, found):
    with pytest.raises(CheckpointError, match=found):
        read(saved({name: np.zeros(1, np.float32)}))


def test_what_is_not_there_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="no such file"):
        read(tmp_path / "nowhere.safetensors")
    with pytest.raises(CheckpointError, match="holds no checkpoints"):
        read(tmp_path)


def test_a_network_of_no_channels_is_refused(saved, file):
    file["patch_embed.proj.weight"] = np.zeros((0, 3, 4, 4), np.float32)
    with pytest.raises(CheckpointError, match="which no Swin has"):
        read(saved(file))


def test_windows_that_do_not_fill_an_image_come_with_what_helps(saved, tmp_path):
    """--image-size would not: it is applied to what was read."""
    config = {"model_type": "swin", "image_size": 40, "window_size": 4}
    (tmp_path / "config.json").write_text(json.dumps(config))
    path = saved(layouts.transformers(OURS["swin"].tensors))
    with pytest.raises(CheckpointError, match=r"do not fill .* put other sizes in config\.json"):
        read(path)


def test_a_file_that_is_not_what_it_is_said_to_be_is_refused(saved, file):
    with pytest.raises(CheckpointError, match="is not a swin_tiny_patch4_window7_224: missing"):
        read(saved(file), find("swin_tiny_patch4_window7_224"))
