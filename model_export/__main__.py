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
from model_export.export import export


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
        card = export(entry, checkpoint, output, options.name)
    except (ExportError, OSError) as error:
        print(f"model_export: {error}", file=sys.stderr)
        return 2
    check = card.verification
    trained = "trained" if card.pretrained else "untrained: good for trying out, not for meaning"
    print(
        f"{card.name} -> {output}",
        f"  weights     {card.weights.source} ({trained})",
        f"  parameters  {parameter_count(entry.architecture):,}",
        f"  size        {output.stat().st_size / 1e6:.1f} MB, {card.precision}",
        f"  embedding   {card.embedding_dim} dimensions",
        f"  verified    {check.images} random images in onnxruntime against {check.reference}: "
        f"largest difference {check.max_relative_difference:.1e} of the largest value",
        f"  took        {time.perf_counter() - started:.1f} s",
        sep="\n",
    )
    return 0


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
    parser.add_argument("--precision", choices=["fp32"], default="fp32")
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="the artifact (default: models/NAME.onnx)"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
