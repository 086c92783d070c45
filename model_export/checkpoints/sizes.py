"""The shape of a network, from the shapes of its tensors."""

import math
from collections import Counter
from collections.abc import Callable

from model_export.checkpoints.recognition import Recognised
from model_export.errors import CheckpointError
from model_export.network.architecture import Architecture

Shape = tuple[int, ...]


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
    if patch[-1] & (patch[-1] - 1):
        name = found.sources(f"{embedding}.weight")[0]
        raise CheckpointError(
            f"{name} is a convolution of {patch[-1]} x {patch[-1]} pixels; patches that do not "
            "overlap have 2, 4, 8 or 16, and only they are exported"
        )
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
