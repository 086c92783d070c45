"""Command line: `python -m model_export NAME --weights random|FILE`."""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from model_export import catalog
from model_export.checkpoints.canonical import Checkpoint, parameter_count
from model_export.checkpoints.reading import read
from model_export.checkpoints.seeded import seeded
from model_export.errors import ExportError
from model_export.export import FP32, Lowering, export
from model_export.model_card import Verification


def main(arguments: Sequence[str] | None = None) -> int:
    """Export one model; 0 if its artifact was written and verified, 2 if not."""
    options = _parser().parse_args(arguments)
    started = time.perf_counter()
    output = options.output or Path("models") / f"{options.name}.onnx"
    try:
        entry = catalog.find(options.name)
        checkpoint = _checkpoint(options.weights, entry)
        for note in checkpoint.notes:
            print(note)
        lowering = Lowering(options.precision, options.calibration, options.min_cosine)
        card = export(entry, checkpoint, output, options.name, lowering=lowering)
    except (ExportError, OSError) as error:
        print(f"model_export: {error}", file=sys.stderr)
        return 2
    trained = "trained" if card.pretrained else "untrained: good for trying out, not for meaning"
    print(
        f"{card.name} -> {output}",
        f"  weights     {card.weights.source} ({trained})",
        f"  parameters  {parameter_count(entry.architecture):,}",
        f"  size        {output.stat().st_size / 1e6:.1f} MB, {card.precision}",
        f"  embedding   {card.embedding_dim} dimensions",
        f"  verified    {_verified(card.verification)}",
        f"  took        {time.perf_counter() - started:.1f} s",
        sep="\n",
    )
    return 0


def _verified(check: Verification) -> str:
    if check.reference == "fp32":
        return (
            f"{check.images} images in onnxruntime against fp32: "
            f"cosine {check.mean_cosine:.4f} on average, {check.worst_cosine:.4f} at worst"
        )
    return (
        f"{check.images} random images in onnxruntime against {check.reference}: "
        f"largest difference {check.max_relative_difference:.1e} of the largest value"
    )


def _checkpoint(weights: str, entry: catalog.Entry) -> Checkpoint:
    if weights == "random":
        return seeded(entry.architecture)
    return read(Path(weights), entry.architecture)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m model_export",
        description="Turn a Swin checkpoint into one verified, self-describing ONNX file.",
    )
    parser.add_argument("name", metavar="NAME", help="for example swin_tiny_patch4_window7_224")
    parser.add_argument(
        "--weights",
        required=True,
        metavar="random|FILE",
        help="'random' for seeded, untrained weights, or a .safetensors file with timm's names",
    )
    parser.add_argument("--precision", choices=["fp32", "int8"], default=FP32.precision)
    parser.add_argument(
        "--calibration",
        type=Path,
        metavar="DIR",
        help="images to take int8's ranges from and to measure on (default: images made up)",
    )
    parser.add_argument(
        "--min-cosine",
        type=float,
        default=FP32.min_cosine,
        metavar="COSINE",
        help="refuse an artifact with an embedding further than this from fp32's "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="the artifact (default: models/NAME.onnx)"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
