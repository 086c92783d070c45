"""From a checkpoint to one verified, self-describing ONNX file."""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
from onnx_ir.passes.common import DeduplicateInitializersPass
from onnxscript import GraphBuilder

from model_export import __version__
from model_export.catalog import Entry
from model_export.errors import CheckpointError, OutputError, VerificationError
from model_export.model_card import (
    EMBEDDING,
    LOGITS,
    METADATA_KEY,
    PIXELS,
    ModelCard,
    Output,
    Precision,
    Verification,
    feature_map,
)
from model_export.network.architecture import Architecture
from model_export.network.parameters import Checkpoint
from model_export.network.swin import SwinTransformer
from model_export.precision import calibration, half, quantize
from model_export.precision.calibration import Pixels
from model_export.verify import embeddings, fidelity, verify

OPSET = 20  # the first with Gelu
IR_VERSION = 10

MAY_BE_SHARED = 2**21
"""Numbers up to which a tensor is compared with the others: the largest mask has 1.3 million."""


@dataclass(frozen=True)
class Lowering:
    """What to compute in, and how to find out what that costs.

    Attributes:
        precision: Of the artifact's arithmetic.
        images: A folder of images to measure on; without one, images are made up.
        min_cosine: An artifact with an embedding further than this from fp32's is refused.
    """

    precision: Precision = "fp32"
    images: Path | None = None
    min_cosine: float = 0.98


FP32 = Lowering()


def export(
    entry: Entry,
    checkpoint: Checkpoint,
    path: Path,
    name: str | None = None,
    outputs: tuple[Output, ...] = (),
    lowering: Lowering = FP32,
) -> ModelCard:
    """Write the artifact to `path`, complete or not at all.

    Args:
        entry: What to build and how its images are prepared.
        checkpoint: Its weights.
        path: The .onnx file; an existing one is replaced once the new one is verified.
        name: What the model is to be called; the architecture's name if not given.
        outputs: What it is to return besides the embedding: some of `further_outputs`.
        lowering: Its precision; anything but fp32 is compared with fp32, which is verified first.

    Returns:
        The card that the artifact carries, with the result of the verification.

    Raises:
        VerificationError: The artifact does not compute what the network does.
        CalibrationError: The folder of images to measure on cannot be used.
        OutputError: The file cannot be written.
    """
    architecture = entry.architecture
    # First, so that an image that cannot be read is reported before the work.
    lower = lowering.precision != "fp32"
    images = calibration.images(lowering.images, entry.preprocessing) if lower else None
    with _replacing(path) as unfinished:
        _write(build(entry, checkpoint, outputs), unfinished)
        verification = verify(unfinished, entry, checkpoint)
        if images is not None:

            def make() -> ir.Model:
                return build(entry, checkpoint, outputs)

            verification = _lower(unfinished, make, images, lowering)
        card = ModelCard(
            name=name or architecture.name,
            architecture=architecture.name,
            embedding_dim=architecture.embedding_dim,
            image_size=architecture.image_size,
            patch_size=architecture.patch_size,
            preprocessing=entry.preprocessing,
            precision=lowering.precision,
            weights=checkpoint.weights,
            pretrained=checkpoint.pretrained,
            licence=checkpoint.licence,
            outputs=outputs,
            exporter=f"swin-embed {__version__}",
            verification=verification,
            notes=checkpoint.notes,
        )
        _attach(card, unfinished)
    return card


def further_outputs(
    architecture: Architecture, checkpoint: Checkpoint, *, features: bool, logits: bool
) -> tuple[Output, ...]:
    """What can be had besides the embedding: the stages' feature maps, the classifier's logits.

    Raises:
        CheckpointError: Logits of a checkpoint without a classifier.
    """
    outputs = []
    if features:
        for stage in range(len(architecture.depths)):
            side, stride = architecture.stage_side(stage), architecture.stage_stride(stage)
            outputs.append(
                Output(
                    name=feature_map(stride),
                    shape=(architecture.stage_channels(stage), side, side),
                    description=f"feature map of stage {stage + 1}, one value every {stride} "
                    "pixels, before any LayerNorm of the outputs",
                )
            )
    if logits:
        if "head.weight" not in checkpoint.tensors:
            raise CheckpointError("--logits: the checkpoint has no classifier; leave it out")
        classes = len(checkpoint.tensors["head.weight"])
        description = "the classifier's scores, before softmax"
        outputs.append(Output(name=LOGITS, shape=(classes,), description=description))
    return tuple(outputs)


def build(entry: Entry, checkpoint: Checkpoint, outputs: tuple[Output, ...] = ()) -> ir.Model:
    """The network as a graph: uint8 [batch, H, W, 3] to float32 [batch, embedding_dim]."""
    architecture = entry.architecture
    side = architecture.image_size
    graph = ir.Graph([], [], nodes=[], opset_imports={"": OPSET}, name=architecture.name)
    builder = GraphBuilder(graph)
    pixels = builder.input(PIXELS, dtype=ir.DataType.UINT8, shape=["batch", side, side, 3])
    shapes = {EMBEDDING: (architecture.embedding_dim,)} | {o.name: o.shape for o in outputs}
    network = SwinTransformer(checkpoint.tensors, architecture, entry.preprocessing, shapes)
    computed = network(builder.op, pixels)
    for name, shape in shapes.items():
        computed[name].type = ir.TensorType(ir.DataType.FLOAT)
        computed[name].shape = ir.Shape(["batch", *shape])
        builder.add_output(computed[name], name)
    return ir.Model(graph, ir_version=IR_VERSION, producer_name="swin-embed")


def _lower(
    path: Path, make: Callable[[], ir.Model], images: Pixels, lowering: Lowering
) -> Verification:
    """Put a lower precision in the place of the fp32 artifact in a file; how near it comes."""
    # Ranges come from one half of the images, the figures from the other.
    known, fresh = images[::2], images[1::2]
    exact = embeddings(path, fresh)
    if lowering.precision == "fp16":
        lowered = half.halved(make())
    else:
        _write(quantize.instrumented(make()), path)
        lowered = quantize.quantized(make(), quantize.observe(path, known))
    _write(lowered, path)
    computed = embeddings(path, fresh)
    if lowering.precision == "fp16" and not np.isfinite(computed).all():
        raise VerificationError(
            "activations of this network exceed 65,504, the largest number in half precision, and "
            "become infinite: it cannot be had in fp16; export it in fp32 or int8"
        )
    return fidelity(computed, exact, lowering.min_cosine)


# Protocol Buffers merge messages that stand one after the other. So a file can be written piece by
# piece: tensors need no second and third copy in memory, and the card, which tells how the file was
# verified, can follow afterwards.


def _write(model: ir.Model, path: Path) -> None:
    """Write a model tensor by tensor: the graph first, then each of its initializers."""
    DeduplicateInitializersPass(size_limit=MAY_BE_SHARED)(model)
    initializers = model.graph.initializers
    tensors = {n: t for n, v in initializers.items() if (t := v.const_value) is not None}
    initializers.clear()
    with path.open("wb") as file:
        file.write(ir.to_proto(model).SerializeToString())
        for name, tensor in tensors.items():
            piece = onnx.ModelProto()
            piece.graph.initializer.add().CopyFrom(ir.to_proto(tensor))
            piece.graph.initializer[0].name = name
            file.write(piece.SerializeToString())


def _attach(card: ModelCard, path: Path) -> None:
    """Add the card to the model in a file."""
    piece = onnx.ModelProto()
    piece.metadata_props.add(key=METADATA_KEY, value=card.model_dump_json())
    with path.open("ab") as file:
        file.write(piece.SerializeToString())


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """A file beside `path` that takes its place if all goes well and vanishes if not."""
    if path.is_dir():
        raise OutputError(f"{path} is a folder; name a file in it")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}") from error
    os.close(handle)
    unfinished = Path(name)
    try:
        yield unfinished
        # mkstemp's file is its owner's alone; a service under another user must read the artifact.
        unfinished.chmod(0o644)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
