"""A nearly free model: what is left when the network costs nothing is the service."""

from pathlib import Path

import onnx
from onnx import TensorProto, helper
from PIL import Image

from benchmarks import corpus
from model_export.model_card import (
    EMBEDDING,
    METADATA_KEY,
    PIXELS,
    ModelCard,
    Preprocessing,
    Verification,
    Weights,
)
from service.engine.model import load
from service.images.preprocess import preprocess

SIDE = 32
PHOTO = (48, 48)
CHANNELS = 3
RECIPE = Preprocessing(resize=SIDE, crop=SIDE, mean=(0, 0, 0), std=(1, 1, 1))


def write(path: Path) -> None:
    """Write an artifact that gives the mean of each channel of a 32 x 32 image."""
    nodes = [
        helper.make_node("Cast", [PIXELS], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["floats", "axes"], [EMBEDDING], keepdims=0),
    ]
    graph = helper.make_graph(
        nodes,
        "free",
        [helper.make_tensor_value_info(PIXELS, TensorProto.UINT8, ["n", SIDE, SIDE, CHANNELS])],
        [helper.make_tensor_value_info(EMBEDDING, TensorProto.FLOAT, ["n", CHANNELS])],
        [helper.make_tensor("axes", TensorProto.INT64, [2], [1, 2])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    card = ModelCard(
        name="free",
        architecture="none",
        embedding_dim=CHANNELS,
        image_size=SIDE,
        patch_size=4,
        preprocessing=RECIPE,
        precision="fp32",
        weights=Weights(source="none", sha256=""),
        pretrained=False,
        exporter="benchmarks",
        verification=Verification(
            reference="none",
            images=0,
            max_relative_difference=0,
            mean_cosine=1,
            worst_cosine=1,
        ),
    )
    helper.set_model_props(model, {METADATA_KEY: card.model_dump_json()})
    onnx.save(model, path)


def requests(model: Path, folder: Path) -> tuple[list[str], list[list[float]]]:
    """Write small JPEGs to send; their paths, and the vectors that the model at a path gives."""
    images = []
    vectors = []
    loaded = load(model, "cpu", 1)
    for number, photo in enumerate(corpus.photos()):
        data = corpus.jpeg(photo.resize(PHOTO, Image.Resampling.LANCZOS))
        path = folder / f"small-{number}.jpg"
        path.write_bytes(data)
        images.append(str(path))
        pixels = preprocess(data, RECIPE, PHOTO[0] * PHOTO[1]).pixels
        vectors.append(loaded.run(pixels[None])[0].tolist())
    return images, vectors
