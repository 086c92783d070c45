"""What is in an artifact, and how far two of them are apart."""

import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from pydantic import ValidationError

from model_export.catalog import BY_NAME
from model_export.errors import ArtifactError
from model_export.model_card import METADATA_KEY, ModelCard
from model_export.network.parameters import parameter_count
from model_export.precision import calibration
from model_export.verify import cosines, embeddings

PRODUCTS = ("MatMul", "MatMulIntegerToFloat")
"""Operators that multiply matrices: the first input with the second."""


@dataclass(frozen=True)
class Contents:
    """What is in a file.

    Attributes:
        card: What it says about itself.
        size: Its bytes.
        parameters: Of the network, if the catalogue has its architecture.
        stored: Bytes of constants, by type.
        operators: How many nodes there are of each type.
        multiplications: In matrix products, each with an addition, for one image.
    """

    card: ModelCard
    size: int
    parameters: int | None
    stored: Counter[str]
    operators: Counter[str]
    multiplications: int


@dataclass(frozen=True)
class Distance:
    """How far two artifacts' embeddings of the same images are apart."""

    images: int
    mean_cosine: float
    worst_cosine: float
    largest_difference: float
    largest_value: float


def contents(path: Path) -> Contents:
    """Read an artifact.

    Raises:
        ArtifactError: Not an ONNX file with a model card that this version can read.
    """
    model, card = _load(path)
    graph = model.graph
    stored: Counter[str] = Counter()
    for tensor in graph.initializer:
        kind = onnx.TensorProto.DataType.Name(tensor.data_type).lower()
        stored[kind] += onnx.numpy_helper.to_array(tensor).nbytes
    shapes = {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    for value in (*graph.value_info, *graph.output):
        # The batch is free in the file and 1 here.
        shapes[value.name] = [d.dim_value or 1 for d in value.type.tensor_type.shape.dim]
    entry = BY_NAME.get(card.architecture)
    return Contents(
        card=card,
        size=path.stat().st_size,
        parameters=parameter_count(entry.architecture) if entry else None,
        stored=stored,
        operators=Counter(node.op_type for node in graph.node),
        multiplications=sum(
            math.prod(shapes[node.output[0]]) * shapes[node.input[1]][-2]
            for node in graph.node
            if node.op_type in PRODUCTS
        ),
    )


def distance(left: Path, right: Path, folder: Path | None) -> Distance:
    """Run two artifacts on the same images: those in a folder, or made-up ones.

    Raises:
        ArtifactError: One of them is not an artifact, or they differ in image size or dimensions.
        CalibrationError: The folder cannot be used.
    """
    cards = [_load(path)[1] for path in (left, right)]
    facts = [f"{card.image_size} pixels to {card.embedding_dim} dimensions" for card in cards]
    if facts[0] != facts[1]:
        raise ArtifactError(f"they cannot be compared: {left} is {facts[0]}, {right} {facts[1]}")
    pixels = calibration.images(folder, cards[0].preprocessing)
    one, other = embeddings(left, pixels), embeddings(right, pixels)
    between = cosines(one, other)
    return Distance(
        images=len(pixels),
        mean_cosine=float(between.mean()),
        worst_cosine=float(between.min()),
        largest_difference=float(np.abs(one - other).max()),
        largest_value=float(np.abs(one).max()),
    )


def _load(path: Path) -> tuple[onnx.ModelProto, ModelCard]:
    try:
        model = onnx.load(path)
        entries = {entry.key: entry.value for entry in model.metadata_props}
        return model, ModelCard.model_validate_json(entries[METADATA_KEY])
    except DecodeError as error:
        raise ArtifactError(f"{path} is not an ONNX file, or a damaged one") from error
    except KeyError as error:
        raise ArtifactError(f"{path} has no model card: export the checkpoint again") from error
    except ValidationError as error:
        raise ArtifactError(
            f"{path} has a model card that this version cannot read; export the checkpoint again"
        ) from error
