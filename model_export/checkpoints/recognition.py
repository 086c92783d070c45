"""Which dialect a file speaks and which network it holds, from the names and shapes in it."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from model_export.checkpoints.dialects.dialect import Dialect
from model_export.checkpoints.dialects.openmmlab import OPENMMLAB, OPENMMLAB_V2
from model_export.checkpoints.dialects.paper import PAPER, SIMMIM
from model_export.checkpoints.dialects.timm import TIMM
from model_export.checkpoints.dialects.torchvision import TORCHVISION
from model_export.checkpoints.dialects.transformers import TRANSFORMERS, TRANSFORMERS_IN_MEMORY
from model_export.checkpoints.formats.files import MERGE
from model_export.checkpoints.formats.stored import FLOATS, Stored
from model_export.errors import CheckpointError

DIALECTS = (
    *(PAPER, SIMMIM, TIMM, TRANSFORMERS, TRANSFORMERS_IN_MEMORY, TORCHVISION),
    *(OPENMMLAB, OPENMMLAB_V2),
)
"""The first of those that explain the same number of tensors is taken."""

FEWEST = 8
"""Tensors by which a Swin is recognised at least: fewer may have the same names by chance."""

REFUSED = (
    (f"holds an adapter (LoRA): {MERGE}", r"\.(lora_|base_layer\.|ia3_l$|oft_)"),
    (
        "looks like a Swin-MoE, whose experts are not exported here; give a dense Swin's",
        r"\.mlp\._?(moe_layer|experts|gates?)\b",
    ),
    ("looks like a Swin-MLP, which is not exported here; give a Swin's", r"\.spatial_mlp\."),
    (
        "holds quantised weights: save the network in float32, before it is quantised",
        r"\.(SCB|qweight|qzeros|g_idx|weight_scale(_inv)?|weight_packed|absmax|quant_map|_packed_params)$"
        r"|\.weight\.(absmax|quant_)",
    ),
    (
        "holds weights that torch puts together when it runs (parametrisation, pruning): save the "
        "network after parametrize.remove_parametrizations or prune.remove",
        r"\.(parametrizations\.|\w+_orig$|weight_g$|weight_v$)",
    ),
    (
        "has the names of torch's wrappers among its own: take '_orig_mod.' and the like out of "
        "them",
        r"\d\.(_orig_mod|_checkpoint_wrapped_module|_fsdp_wrapped_module)\.",
    ),
)
"""Relatives of Swin Transformers, recognised first, and a name that gives each away."""

OTHERS = (
    ("timm's own variant of Swin V2 (swinv2_cr)", r"attn\.meta_mlp\."),
    ("a ConvNeXt", r"(dwconv|conv_dw|downsample_layers|convnext)"),
    ("a Vision Transformer", r"(^|\.)(cls_token|class_token|pos_embed|pos_embedding)$"),
    ("a ResNet", r"(^|\.)layer1\.0\.conv1\."),
)
"""Networks that people take for a Swin, and a name that gives each away."""


@dataclass(frozen=True)
class Recognised:
    """A Swin Transformer in a file.

    Attributes:
        dialect: Whose names it has.
        prefix: What stands before all of them, for example `module.`.
        version: Of Swin.
        tensors: Those behind the prefix.
        depths: Blocks of each stage.
        backbone: Its stages have LayerNorms of their own; the last stage's is the final one.
        others: Names of the rest.
        strays: Names among the rest that only a Swin has, but no whole one.
    """

    dialect: Dialect
    prefix: str
    version: Literal[1, 2]
    tensors: Stored
    depths: tuple[int, ...]
    backbone: bool
    others: tuple[str, ...]
    strays: tuple[str, ...]

    def sources(self, canonical: str) -> tuple[str | None, ...]:
        """The tensors of the file that make a canonical one, one after the other."""
        names = self.dialect.sources(canonical, self.version)
        return tuple(name and self.prefix + name for name in names)


def recognise(stored: Stored) -> Recognised:
    """Find the network among a file's tensors.

    Raises:
        CheckpointError: It holds none; the message says what it looks like instead.
    """
    for reason, pattern in REFUSED:
        if any(re.search(pattern, name) for name in stored):
            raise CheckpointError(reason)
    spoken = [(dialect, _behind_prefixes(dialect, stored)) for dialect in DIALECTS]
    dialect, networks = max(
        spoken, key=lambda found: max(map(_explained, found[1].values()), default=0)
    )
    largest = max(map(_explained, networks.values()), default=0)
    if largest < FEWEST:
        raise CheckpointError(_no_swin(stored))
    prefix = _taken(networks, stored)
    found = networks[prefix]
    names = {name.removeprefix(prefix) for name in stored if name.startswith(prefix)}
    bias = sum("relative_position_bias_table" in name for name in found.values())
    continuous = sum(".logit_scale" in n or ".position_mlp." in n for n in found.values())
    version: Literal[1, 2] = 2 if continuous > bias else 1
    last = len(_depths(found.values())) - 1
    dialect, backbone = _with_last_norm(_with_whole_biases(dialect, names), names, last)
    return Recognised(
        dialect=dialect,
        prefix=prefix,
        version=version,
        tensors={prefix + name: stored[prefix + name] for name in sorted(names)},
        depths=_depths(found.values()),
        backbone=backbone,
        others=tuple(name for name in stored if not name.startswith(prefix)),
        strays=tuple(
            name
            for other, partly in networks.items()
            if 2 * _explained(partly) < largest
            for name, canonical in partly.items()
            if not name.startswith(prefix) or other != prefix
            if ".blocks." in canonical or canonical.startswith("linear_embedding")
        ),
    )


def _behind_prefixes(dialect: Dialect, stored: Stored) -> dict[str, dict[str, str]]:
    """By prefix: names in the file, and the canonical tensors that they are a part of."""
    found: dict[str, dict[str, str]] = {}
    for name in stored:
        if match := dialect.canonical(name):
            prefix, canonical = match
            found.setdefault(prefix, {})[name] = canonical
    return found


AVERAGED = re.compile(r"(^|[._])(ema|teacher)([._\d]|$)")
"""Weights that are an average of others', and what is evaluated."""


def _taken(networks: dict[str, dict[str, str]], stored: Stored) -> str:
    """The prefix of the network to take: the only one, or the average of another one.

    Raises:
        CheckpointError: There are several, and nothing tells which it is.
    """
    largest = max(map(_explained, networks.values()))
    whole = sorted(p for p, found in networks.items() if 2 * _explained(found) >= largest)
    averaged = [prefix for prefix in whole if AVERAGED.search(prefix)]
    unread = [n for n in stored if AVERAGED.search(n) and not n.startswith(tuple(averaged))]
    if len(unread) >= FEWEST and not averaged:
        raise CheckpointError(
            f"holds averaged weights too, under names that are not read ({unread[0][:80]}): save "
            "the tensors of the network that you mean alone"
        )
    if len(whole) == 1 or _equal(networks, whole, stored):
        return min(whole, key=len)
    if len(averaged) == 1 and _alike(networks, whole, stored):
        return averaged[0]
    raise CheckpointError(
        f"holds {len(whole)} Swins or parts of them, behind "
        f"{' and '.join(repr(prefix[:80]) for prefix in whole[:4])}: save the tensors of the one "
        "that you mean alone"
    )


def _alike(networks: dict[str, dict[str, str]], prefixes: list[str], stored: Stored) -> bool:
    """Whether networks have tensors of the same names and shapes."""
    shapes = [{n.removeprefix(p): stored[n].shape for n in networks[p]} for p in prefixes]
    return all(one == shapes[0] for one in shapes)


def _equal(networks: dict[str, dict[str, str]], prefixes: list[str], stored: Stored) -> bool:
    """Whether networks are one: a module that two others hold is saved under both names."""
    first, *others = prefixes
    return _alike(networks, prefixes, stored) and all(
        np.array_equal(stored[n].read(), stored[p + n.removeprefix(first)].read())
        for p in others
        for n in networks[first]
        if stored[n].dtype in FLOATS
    )


def _explained(found: dict[str, str]) -> int:
    """How many names a network has that fit together."""
    stages = len(_depths(found.values()))
    return sum(
        0 < int(canonical.split(".")[1]) < stages if ".patch_merging." in canonical else 1
        for canonical in found.values()
    )


def _depths(canonical: Iterable[str]) -> tuple[int, ...]:
    """Blocks of each stage, up to the first number that no tensor has."""
    blocks = {
        (int(match[1]), int(match[2]))
        for match in (re.match(r"stages\.(\d+)\.blocks\.(\d+)\.", name) for name in canonical)
        if match
    }
    depths: list[int] = []
    while (len(depths), 0) in blocks or (len(depths), 1) in blocks:
        depth = 0
        while (len(depths), depth) in blocks or (len(depths), depth + 1) in blocks:
            depth += 1
        depths.append(depth)
    return tuple(depths)


def _with_whole_biases(dialect: Dialect, names: set[str]) -> Dialect:
    """The dialect with biases of queries, keys and values in one, if V2's lie like that."""
    thirds = dialect.split.get(2, {})
    there = {name.rpartition(".attn.")[2].removeprefix("w_msa.") for name in names}
    if "qkv.bias" not in there or not there.isdisjoint(thirds.get("qkv.bias", ())):
        return dialect
    whole = {name: parts for name, parts in thirds.items() if name != "qkv.bias"}
    return replace(dialect, split=dialect.split | {2: whole})


def _with_last_norm(dialect: Dialect, names: set[str], last: int) -> tuple[Dialect, bool]:
    """The dialect with the last stage's norm as the final one, if the file is of a backbone."""
    final = dialect.parts["norm"]
    template = dialect.stage_norms
    if template is None or {f"{final}.weight", f"{final}.bias"} & names:
        return dialect, False
    norms = [template.format(stage=stage, nth=stage + 1) for stage in range(last + 1)]
    if not any(f"{norm}.{part}" in names for norm in norms for part in ("weight", "bias")):
        return dialect, False
    return replace(dialect, parts=dialect.parts | {"norm": norms[-1]}), True


def _no_swin(stored: Stored) -> str:
    for name, pattern in OTHERS:
        if any(re.search(pattern, tensor) for tensor in stored):
            return f"looks like {name}, which is not exported here; give a Swin's"
    some = ", ".join(name[:80] for name in list(stored)[:3]) or "none"
    return (
        f"holds no Swin Transformer: {len(stored)} tensors ({some}, ...); give weights in timm's, "
        "the paper's, transformers', torchvision's or OpenMMLab's layout"
    )
