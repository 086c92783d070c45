"""No file gives other vectors in silence: what is changed in it is refused, by name."""

import re

import numpy as np
import pytest
from safetensors.numpy import save_file

from model_export.checkpoints.reading import read
from model_export.errors import CheckpointError
from model_export.network import windows
from tests.support import layouts
from tests.support.small_model import SMALL_MODEL, SMALL_MODEL_V2
from tests.support.weights import lively

HEAD = {
    "head.weight": np.ones((10, 128), np.float32),
    "head.bias": np.arange(10, dtype=np.float32),
}
ENTRIES = {1: SMALL_MODEL, 2: SMALL_MODEL_V2}
TENSORS = {version: lively(entry.architecture).tensors for version, entry in ENTRIES.items()}


def with_buffers(file):
    """The buffers that the paper's repository saves beside the weights."""
    blocks = sorted({name.split(".attn.")[0] for name in file if ".attn." in name})
    index = windows.relative_position_index(4)
    found = {f"{block}.attn.relative_position_index": index for block in blocks}
    return file | found | {"layers.0.blocks.1.attn_mask": windows.attention_mask(8, 8, 4, 2)}


FILES = {
    "timm": (1, layouts.timm(TENSORS[1] | HEAD)),
    "timm-v2": (2, layouts.timm(TENSORS[2] | HEAD)),
    "paper": (1, with_buffers(layouts.paper(TENSORS[1] | HEAD))),
    "simmim": (2, layouts.simmim(TENSORS[2])),
    "transformers": (1, layouts.transformers(TENSORS[1] | HEAD)),
    "transformers-v2": (2, layouts.transformers(TENSORS[2] | HEAD, "swinv2.")),
    "torchvision": (1, layouts.torchvision(TENSORS[1] | HEAD)),
    "torchvision-v2": (2, layouts.torchvision(TENSORS[2] | HEAD)),
    "openmmlab": (1, layouts.openmmlab(TENSORS[1])),
    "openmmlab-v2": (2, layouts.openmmlab(TENSORS[2])),
    "detection": (1, layouts.with_stage_norms(layouts.paper(TENSORS[1]))),
    "openmmlab-detection": (1, layouts.with_stage_norms(layouts.openmmlab(TENSORS[1]))),
    "backbone": (
        1,
        layouts.with_stage_norms(
            layouts.transformers(TENSORS[1], ""), "layernorm", "hidden_states_norms.stage{0}", 1
        ),
    ),
}


def removed(file, name):
    return {n: t for n, t in file.items() if n != name}


def renamed(file, name):
    return removed(file, name) | {f"{name}_": file[name]}


def reshaped(file, name):
    tensor = file[name]
    shape = (1, *tensor.shape) if tensor.ndim == 1 else (-1,)
    return file | {name: tensor.reshape(shape)}


def doubled(file, name):
    return file | {name: np.concatenate([file[name], file[name]])}


def retyped(file, name):
    return file | {name: (100 * file[name]).astype(np.int16)}


def copied(file, name):
    start, _, end = name.rpartition(".")
    return file | {f"{start}.copy.{end}": file[name]}


CHANGES = (removed, renamed, reshaped, retyped, copied)

# A Swin V2 without buffers does not tell its windows: it has to be named.
RECOGNISED = [kind for kind, (version, _) in FILES.items() if version == 1] + ["torchvision-v2"]
CASES = [
    *((kind, change, True) for kind in FILES for change in CHANGES),
    *((kind, doubled, False) for kind in RECOGNISED),
    *((kind, removed, False) for kind in RECOGNISED),
]


def changed_in(file, change):
    """Names to try: of blocks that are alike, one of each stage."""
    for name in file:
        alike = re.search(r"\.0\.blocks\.1\.|\.1\.blocks\.0\.|^features\.(1\.1|3\.0)\.", name)
        # What only one block has cannot be missed; a copy of a head is another module.
        alone = name.endswith(("mask_token", "attn_mask"))
        if not (alike or alone or (change is copied and not re.search(r"\.\d+\.", name))):
            yield name


@pytest.mark.parametrize(("kind", "change", "named"), CASES)
def test_a_file_with_one_tensor_changed_is_refused_and_the_tensor_named(
    tmp_path, kind, change, named
):
    version, file = FILES[kind]
    path = tmp_path / "checkpoint.safetensors"
    entry = ENTRIES[version] if named else None
    save_file({n: np.ascontiguousarray(t) for n, t in file.items()}, path)
    read(path, entry)
    taken = []
    for name in changed_in(file, change):
        other = change(file, name)
        save_file({n: np.ascontiguousarray(t) for n, t in other.items()}, path)
        shown = re.sub(r"\.(\w+)$", r".copy.\1", name) if change is copied else name
        try:
            read(path, entry)
        except CheckpointError as error:
            if shown not in str(error):
                taken.append((name, str(error)))
        else:
            taken.append((name, "was taken"))
    assert taken == []
