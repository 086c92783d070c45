"""Canonical tensors under other libraries' names, written out by hand from their sources.

timm 1.0.31 and 0.6.13, microsoft/Swin-Transformer at 2cb103f, transformers 5.23, torchvision 0.29.
"""

import re

import numpy as np

from model_export.network import windows


def timm(tensors):
    """Since 0.9: patch merging at the start of its stage."""
    return _timm(tensors, merging_stage=lambda stage: stage, head="head.fc")


def paper(tensors):
    """The paper's repository, and timm before 0.9."""
    return _timm(tensors, merging_stage=lambda stage: stage - 1, head="head")


def _timm(tensors, merging_stage, head):
    file = {}
    for name, tensor in tensors.items():
        name = re.sub(
            r"^stages\.(\d+)\.patch_merging",
            lambda m: f"layers.{merging_stage(int(m[1]))}.downsample",
            name,
        )
        name = re.sub(r"^stages", "layers", name)
        name = name.replace("linear_embedding.norm", "patch_embed.norm")
        name = name.replace("linear_embedding", "patch_embed.proj")
        name = name.replace(".attention.projection.", ".attn.proj.").replace(
            ".attention.", ".attn."
        )
        name = re.sub(r"^head\.", f"{head}.", name)
        if name.endswith("qkv.bias") and name.replace("qkv.bias", "logit_scale") in file:
            query, _, value = np.split(tensor, 3)
            file[name.replace("qkv.bias", "q_bias")] = query
            file[name.replace("qkv.bias", "v_bias")] = value
            continue
        file[_position_mlp(name)] = _scale(name, tensor)
    return file


def simmim(tensors):
    """V2 as SimMIM published it: behind `encoder.`, the position MLP under another name."""
    file = {
        f"encoder.{name.replace('cpb_mlp', 'rpe_mlp')}": t for name, t in paper(tensors).items()
    }
    return file | {"encoder.mask_token": np.zeros((1, 1, 64), np.float32)}


def with_stage_norms(file, norm="norm", stage_norm="norm{0}", first=0):
    """A backbone for detection: a norm for each stage's map in place of the one at the end."""
    width = len(file[f"{norm}.weight"])
    last = 1 + first
    ours = {name: t for name, t in file.items() if not name.startswith(f"{norm}.")}
    for part in ("weight", "bias"):
        ours[f"{stage_norm.format(first)}.{part}"] = np.ones(width // 2, np.float32)
        ours[f"{stage_norm.format(last)}.{part}"] = file[f"{norm}.{part}"]
    return ours


def openmmlab(tensors):
    """Mmpretrain 1.2; V2 merges at the start of a stage. Merging unfolds: [..., C, row, column]."""
    v2 = any(name.endswith("logit_scale") for name in tensors)
    file = {}
    for name, tensor in tensors.items():
        if ".patch_merging." in name and not (v2 and ".norm." in name):
            # from top left, bottom left, top right, bottom right
            parts = tensor.reshape(*tensor.shape[:-1], 4, -1)[..., [0, 2, 1, 3], :]
            tensor = np.ascontiguousarray(parts.swapaxes(-1, -2)).reshape(tensor.shape)
        name = re.sub(
            r"^stages\.(\d+)\.patch_merging",
            lambda m: f"stages.{int(m[1]) - (not v2)}.downsample",
            name,
        )
        name = name.replace("linear_embedding.norm", "patch_embed.norm")
        name = name.replace("linear_embedding", "patch_embed.projection")
        name = name.replace(".attention.projection.", ".attn.w_msa.proj.")
        name = name.replace(".attention.", ".attn.w_msa.")
        name = name.replace(".mlp.fc1", ".ffn.layers.0.0").replace(".mlp.fc2", ".ffn.layers.1")
        if v2 and name.endswith("qkv.bias"):
            query, _, value = np.split(tensor, 3)
            file[name.replace("qkv.bias", "q_bias")] = query
            file[name.replace("qkv.bias", "v_bias")] = value
            continue
        file[_position_mlp(name)] = _scale(name, tensor)
    return file


def transformers(tensors, prefix="swin."):
    """As save_pretrained writes them."""
    v2 = any(name.endswith("logit_scale") for name in tensors)
    file = {}
    for name, tensor in tensors.items():
        if name.startswith("head."):
            file[name.replace("head", "classifier")] = tensor
            continue
        name = re.sub(
            r"^stages\.(\d+)\.patch_merging",
            lambda m: f"encoder.layers.{int(m[1]) - 1}.downsample",
            name,
        )
        name = re.sub(r"^stages", "encoder.layers", name)
        name = name.replace("linear_embedding.norm", "embeddings.norm")
        name = name.replace("linear_embedding", "embeddings.patch_embeddings.projection")
        name = re.sub(r"^norm", "layernorm", name)
        name = name.replace(".norm1.", ".layernorm_before.").replace(".norm2.", ".layernorm_after.")
        name = name.replace(".attention.projection.", ".attention.output.dense.")
        name = re.sub(r"\.attention\.(?!output)", ".attention.self.", name)
        name = name.replace(".mlp.fc1.", ".intermediate.dense.").replace(
            ".mlp.fc2.", ".output.dense."
        )
        name = name.replace("position_mlp.fc1", "continuous_position_bias_mlp.0")
        name = name.replace("position_mlp.fc2", "continuous_position_bias_mlp.2")
        if ".qkv." in name:
            for part, third in zip(("query", "key", "value"), np.split(tensor, 3), strict=True):
                if not (v2 and part == "key" and name.endswith("bias")):
                    file[prefix + name.replace("qkv", part)] = third
        else:
            file[prefix + name] = _scale(name, tensor)
    return file


def torchvision(tensors):
    file = {}
    for name, tensor in tensors.items():
        name = re.sub(r"^stages\.(\d+)\.patch_merging", lambda m: f"features.{2 * int(m[1])}", name)
        name = re.sub(r"^stages\.(\d+)\.blocks", lambda m: f"features.{2 * int(m[1]) + 1}", name)
        name = name.replace("linear_embedding.norm", "features.0.2")
        name = name.replace("linear_embedding", "features.0.0")
        name = name.replace(".attention.projection.", ".attn.proj.").replace(
            ".attention.", ".attn."
        )
        name = name.replace("mlp.fc1", "mlp.0") if "position" not in name else name
        name = name.replace("mlp.fc2", "mlp.3") if "position" not in name else name
        file[_position_mlp(name)] = _scale(name, tensor)
        if name.endswith("logit_scale"):
            # Buffers that torchvision saves, for windows of 4.
            offsets = np.arange(-3, 4) / 3 * 8
            spaced = np.sign(offsets) * np.log2(np.abs(offsets) + 1) / 3
            table = np.stack(np.meshgrid(spaced, spaced, indexing="ij"), axis=-1)[None]
            start = name.removesuffix("logit_scale")
            file[f"{start}relative_coords_table"] = table.astype(np.float32)
            file[f"{start}relative_position_index"] = windows.relative_position_index(4).reshape(-1)
    return file


def _position_mlp(name):
    return name.replace("position_mlp.fc1", "cpb_mlp.0").replace("position_mlp.fc2", "cpb_mlp.2")


def _scale(name, tensor):
    return tensor.reshape(-1, 1, 1) if name.endswith("logit_scale") else tensor
