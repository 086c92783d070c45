"""Classifiers in a checkpoint: linear layers that take embeddings."""

from model_export.checkpoints.formats.stored import FLOATS, Stored
from model_export.checkpoints.recognition import Recognised

HEADS = ("head.fc", "head", "classifier", "fc", "cls_head.fc")
"""What a classifier is called in one dialect or another."""

PAIR = ("weight", "bias")
"""What a LayerNorm and a classifier have."""


def classifiers(tensors: Stored, found: Recognised, width: int) -> tuple[list[str], list[str]]:
    """Names of linear layers that take embeddings, in the network or around it.

    Returns:
        Their names; and of those that are no whole linear layer, the tensor that keeps it from it.
    """
    around = found.prefix[: found.prefix.rstrip(".").rfind(".") + 1]
    whole, half = [], []
    for name in dict.fromkeys(s + head for s in (found.prefix, around) for head in HEADS):
        weight, bias = (tensors.get(f"{name}.{part}") for part in PAIR)
        if weight is None and bias is None:
            continue
        if weight is None or len(weight.shape) != 2 or weight.dtype not in FLOATS:
            half.append(f"{name}.weight")
        elif bias is None or bias.dtype not in FLOATS:
            half.append(f"{name}.bias")
        elif bias.shape != weight.shape[:1]:
            half += [f"{name}.weight", f"{name}.bias"]
        elif weight.shape[1] == width:
            whole.append(name)
    return whole, half
