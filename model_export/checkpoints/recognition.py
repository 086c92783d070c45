"""Which dialect a file speaks and which network it holds, from the names and shapes in it."""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Literal

from model_export.checkpoints.dialects.dialect import Dialect
from model_export.checkpoints.dialects.openmmlab import OPENMMLAB, OPENMMLAB_V2
from model_export.checkpoints.dialects.paper import PAPER, SIMMIM
from model_export.checkpoints.dialects.timm import TIMM
from model_export.checkpoints.dialects.torchvision import TORCHVISION
from model_export.checkpoints.dialects.transformers import TRANSFORMERS, TRANSFORMERS_IN_MEMORY
from model_export.checkpoints.formats.files import MERGE
from model_export.checkpoints.formats.stored import Stored
from model_export.errors import CheckpointError
from model_export.network.architecture import Architecture

DIALECTS = (
    *(PAPER, SIMMIM, TIMM, TRANSFORMERS, TRANSFORMERS_IN_MEMORY, TORCHVISION),
    *(OPENMMLAB, OPENMMLAB_V2),
)
"""The first of those that explain the same number of tensors is taken."""

Shape = tuple[int, ...]

FEWEST = 8
"""Tensors by which a Swin is recognised at least: fewer may have the same names by chance."""

REFUSED = (
    (f"holds an adapter (LoRA): {MERGE}", r"\.(lora_|base_layer\.|ia3_l$|oft_)"),
    (
        "looks like a Swin-MoE, whose experts are not exported here; give a dense Swin's",
        r"\.mlp\._?(moe_layer|experts|gates?)\b",
    ),
    ("looks like a Swin-MLP, which is not exported here; give a Swin's", r"\.spatial_mlp\."),
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
    # A teacher's weights are an average of its student's, and what is evaluated.
    prefix = min(
        (p for p, found in networks.items() if 2 * _explained(found) >= largest),
        key=lambda p: ("teacher" not in p, "ema" not in p, len(p), p),
    )
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


def architecture(found: Recognised) -> Architecture:
    """What the tensors say of the network: windows of 0 where they do not say, as in most of V2's.

    Raises:
        CheckpointError: They contradict each other; the ones that do are named.
    """
    stages = range(len(found.depths))
    embedding = "linear_embedding"
    patch = _shape(found, f"{embedding}.weight")
    if len(patch) != 4 or patch[1] != 3 or patch[2] != patch[3] or 0 in patch:
        name = found.sources(f"{embedding}.weight")[0]
        raise CheckpointError(
            f"{name} has shape {list(patch)}, which no Swin has: its patches give [C, 3, P, P]"
        )
    around = [f"{embedding}.{tensor}" for tensor in ("weight", "bias", "norm.weight", "norm.bias")]
    (channels,) = _agreed(found, around, lambda shape: shape[:1])
    attention = [
        [f"stages.{stage}.blocks.{block}.attention" for block in range(found.depths[stage])]
        for stage in stages
    ]
    measure = "logit_scale" if found.version == 2 else "relative_position_bias_table"
    fact = _scales if found.version == 2 else _table
    measures = [_agreed(found, [f"{n}.{measure}" for n in names], fact) for names in attention]
    heads = tuple(measure[-1] for measure in measures)
    trained: tuple[int, ...] = ()
    if found.version == 1:
        windows = tuple((math.isqrt(measure[0]) + 1) // 2 for measure in measures)
    else:
        tables = [_coordinates(found, names) for names in attention]
        windows, trained = tuple(w for w, _ in tables), tuple(t for _, t in tables)
        if 0 in windows:
            windows, trained = (0,) * len(stages), ()
    (hidden,) = _agreed(
        found,
        [f"stages.0.blocks.{block}.mlp.fc1.weight" for block in range(found.depths[0])],
        lambda shape: shape[:1],
    )
    side, masked = _masked(found)
    if 0 in windows and masked:
        windows = (masked,) * len(stages)
    return Architecture(
        name=f"swin{'v2' if found.version == 2 else ''}_c{channels}_d"
        + "-".join(map(str, found.depths)),
        # Published networks end in a single window.
        image_size=patch[-1] * side if side else (patch[-1] << len(stages) - 1) * windows[-1],
        channels=channels,
        depths=found.depths,
        heads=heads,
        windows=windows,
        version=found.version,
        pretrained_windows=trained if any(trained) else (),
        patch_size=patch[-1],
        mlp_ratio=hidden / channels,
    )


def _behind_prefixes(dialect: Dialect, stored: Stored) -> dict[str, dict[str, str]]:
    """By prefix: names in the file, and the canonical tensors that they are a part of."""
    found: dict[str, dict[str, str]] = {}
    for name in stored:
        if match := dialect.canonical(name):
            prefix, canonical = match
            found.setdefault(prefix, {})[name] = canonical
    return found


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


def _shape(found: Recognised, canonical: str) -> tuple[int, ...]:
    name = found.sources(canonical)[0]
    if name is None or name not in found.tensors:
        raise CheckpointError(f"a Swin in {found.dialect.name}'s layout without its {name}")
    return found.tensors[name].shape


def _agreed(found: Recognised, names: list[str], fact: Callable[[Shape], Shape]) -> Shape:
    """What the shapes of most tensors say; those that say otherwise are found later.

    Raises:
        CheckpointError: As many say one thing as another, or one has a shape that no Swin's has.
    """
    shapes = {found.sources(name)[0]: _shape(found, name) for name in names}
    facts = {}
    for name, shape in shapes.items():
        try:
            facts[name] = fact(shape)
        except (IndexError, ValueError) as error:
            raise CheckpointError(f"{name} has shape {list(shape)}, which no Swin has") from error
    (common, count), *others = Counter(facts.values()).most_common()
    if others and others[0][1] == count:
        first = {of: name for name, of in reversed(facts.items())}
        told = (f"{name} has shape {list(shapes[name])}" for name in first.values())
        raise CheckpointError(f"its tensors contradict each other: {', but '.join(told)}")
    if 0 in common:
        raise CheckpointError(f"{next(iter(shapes))} is empty, which no Swin's is")
    return common


def _table(shape: Shape) -> Shape:
    """Offsets and heads of a bias table [(2M - 1)^2, h]."""
    offsets, heads = shape
    if math.isqrt(offsets) ** 2 != offsets or not offsets % 2 or not heads:
        raise ValueError
    return offsets, heads


def _scales(shape: Shape) -> Shape:
    """Heads of a logit scale [h, 1, 1]."""
    if len(shape) != 3 or shape[1:] != (1, 1):
        raise ValueError
    return shape[:1]


def _masked(found: Recognised) -> tuple[int, int]:
    """Tokens along a side of the first stage and its window, of an attention mask [W, N, N]; or 0.

    A stage's second block is the first that is shifted.
    """
    for stage in range(len(found.depths)):
        name = found.sources(f"stages.{stage}.blocks.1.attn_mask")[0]
        if name is not None and name in found.tensors:
            shape = found.tensors[name].shape
            if len(shape) == 3 and shape[1] == shape[2]:
                window = math.isqrt(shape[1])
                return (math.isqrt(shape[0]) * window) << stage, window
    return 0, 0


def _coordinates(found: Recognised, attention: list[str]) -> tuple[int, int]:
    """Window and window of training, if other, that V2's tables of offsets were made for; or 0."""
    tables = [str(found.sources(f"{block}.relative_coords_table")[0]) for block in attention]
    name = next((table for table in tables if table in found.tensors), None)
    if name is None:
        return 0, 0
    # [1, 2M - 1, 2M - 1, 2] with log2(8 (M - 1) / (trained - 1) + 1) / 3 in the last corner
    table = found.tensors[name].read()
    if table.ndim != 4 or not table.size or not 0 <= table.max() < 3:
        raise CheckpointError(f"{name} is not a table of offsets [1, 2M - 1, 2M - 1, 2]")
    window = (table.shape[1] + 1) // 2
    reach = 2 ** (3 * float(table.max())) - 1
    trained = round(1 + 8 * (window - 1) / reach) if reach else window
    return window, 0 if trained == window else trained
