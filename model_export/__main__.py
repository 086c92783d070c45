"""Command line: `python -m model_export NAME|FILE|FOLDER|hf://ORG/REPOSITORY`."""

import argparse
import math
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from model_export import inspection, listing
from model_export.errors import ExportError
from model_export.export import FP32, Lowering, export, further_outputs
from model_export.model_card import Verification
from model_export.network.parameters import parameter_count
from model_export.resizing import resized
from model_export.source import find


def main(arguments: Sequence[str] | None = None) -> int:
    """Export one model, or do a command; 0 if it could be done, 2 if not."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given and given[0] in COMMANDS:
        return _command(COMMANDS[given[0]], given)
    parser = _parser()
    options = parser.parse_args(given)
    if options.list:
        print(listing.table())
        return 0
    if options.name is None:
        parser.error("name a model or a checkpoint, or ask for --list")
    if options.precision == "fp32":
        for option in ("calibration", "min_cosine"):
            if getattr(options, option) is not None:
                name = option.replace("_", "-")
                parser.error(f"--{name} is for --precision int8 and fp16; fp32 is compared exactly")
    started = time.perf_counter()
    try:
        name, entry, checkpoint = find(options.name, options.weights)
        if options.image_size not in (None, entry.architecture.image_size):
            entry, checkpoint = resized(entry, checkpoint, options.image_size)
            name = f"{name}_at_{options.image_size}"  # its vectors do not compare
        outputs = further_outputs(
            entry.architecture, checkpoint, features=options.features, logits=options.logits
        )
        for note in checkpoint.notes:
            print(note)
        if "head.weight" in checkpoint.tensors and not options.logits:
            classes = len(checkpoint.tensors["head.weight"])
            print(f"left out the classifier of {classes} classes; --logits keeps it")
        output = options.output or _file(name, options.precision)
        floor = FP32.min_cosine if options.min_cosine is None else options.min_cosine
        lowering = Lowering(options.precision, options.calibration, floor)
        card = export(entry, checkpoint, output, name, outputs, lowering)
    except (ExportError, OSError) as error:
        print(f"model_export: {error}", file=sys.stderr)
        return 2
    prepared = card.preprocessing
    trained = "trained" if card.pretrained else "untrained: good for trying out, not for meaning"
    revision = f" at {card.weights.revision[:12]}" if card.weights.revision else ""
    how = "short side to" if prepared.resize_mode == "short_side" else "stretched to"
    print(
        f"{card.name} -> {output}",
        f"  weights     {card.weights.source}{revision} ({trained})",
        f"  parameters  {parameter_count(entry.architecture):,}",
        f"  size        {output.stat().st_size / 1e6:.1f} MB, {card.precision}",
        f"  images      {how} {prepared.resize}, {prepared.interpolation}, "
        f"crop {prepared.crop} x {prepared.crop}",
        f"  embedding   {card.embedding_dim} dimensions",
        *(f"  also        {o.name} {' x '.join(map(str, o.shape))}" for o in card.outputs),
        f"  verified    {_verified(card.verification)}",
        f"  took        {time.perf_counter() - started:.1f} s",
        sep="\n",
    )
    return 0


def _command(do: Callable[[argparse.Namespace], str], arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog=f"python -m model_export {arguments[0]}")
    if do is _inspected:
        parser.description = "Say what is in an artifact."
        parser.add_argument("file", type=Path, metavar="FILE")
    else:
        parser.description = "Say how far two artifacts' embeddings of the same images are apart."
        parser.add_argument("left", type=Path, metavar="A")
        parser.add_argument("right", type=Path, metavar="B")
        parser.add_argument(
            "--images", type=Path, metavar="DIR", help="default: images that are made up"
        )
    try:
        print(do(parser.parse_args(arguments[1:])))
    except (ExportError, OSError) as error:
        print(f"model_export: {error}", file=sys.stderr)
        return 2
    return 0


def _inspected(options: argparse.Namespace) -> str:
    found = inspection.contents(options.file)
    lines = {
        "card": found.card.model_dump_json(indent=2),
        "size": f"{found.size / 1e6:.1f} MB: "
        + ", ".join(f"{kind} {size / 1e6:.1f}" for kind, size in found.stored.most_common()),
        "parameters": f"{found.parameters:,}" if found.parameters else "unknown architecture",
        "products": f"{found.multiplications / 1e9:.2f} GMAC, "
        f"{2 * found.multiplications / 1e9:.2f} GFLOP for an image",
        "operators": ", ".join(f"{count} {name}" for name, count in found.operators.most_common()),
    }
    return "\n".join(f"{name:<12}{text}" for name, text in lines.items())


def _compared(options: argparse.Namespace) -> str:
    found = inspection.distance(options.left, options.right, options.images)
    return (
        f"{found.images} images: cosine {found.mean_cosine:.6f} on average, "
        f"{found.worst_cosine:.6f} at worst; largest difference {found.largest_difference:.2e}, "
        f"where the largest value is {found.largest_value:.2e}"
    )


COMMANDS = {"inspect": _inspected, "compare": _compared}


def _file(name: str, precision: str) -> Path:
    """Where an artifact goes that was not told where: no precision replaces another."""
    return Path("models") / (f"{name}.onnx" if precision == "fp32" else f"{name}.{precision}.onnx")


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


def _pixels(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of pixels")
    return int(text)


def _cosine(text: str) -> float:
    try:
        cosine = float(text)
    except ValueError:
        cosine = math.nan
    if not -1 <= cosine <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a cosine, which is from -1 to 1")
    return cosine


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m model_export",
        description="Turn a Swin checkpoint into one verified, self-describing ONNX file.",
        epilog="python -m model_export inspect FILE says what is in one, "
        "compare A B [--images DIR] how far two are apart.",
    )
    parser.add_argument(
        "name",
        metavar="NAME|FILE",
        nargs="?",
        help="a published model, for example swin_tiny_patch4_window7_224, or a checkpoint to "
        "recognise: a file, a folder, hf://ORG/REPOSITORY[@REVISION]",
    )
    parser.add_argument(
        "--weights",
        metavar="hub|random|FILE",
        help="weights of a published NAME: 'hub' (the default), 'random' (seeded, untrained), or a "
        "file, a folder, hf://ORG/REPOSITORY[@REVISION]",
    )
    parser.add_argument("--precision", choices=["fp32", "fp16", "int8"], default=FP32.precision)
    parser.add_argument(
        "--calibration",
        type=Path,
        metavar="DIR",
        help="images to take int8's ranges from and to measure on (default: images made up)",
    )
    parser.add_argument(
        "--min-cosine",
        type=_cosine,
        metavar="COSINE",
        help="refuse an artifact with an embedding further than this from fp32's "
        f"(default: {FP32.min_cosine})",
    )
    parser.add_argument(
        "--image-size",
        type=_pixels,
        metavar="PIXELS",
        help="make it for other images than it was trained for, with windows to match",
    )
    parser.add_argument(
        "--features", action="store_true", help="return the stages' feature maps too (NCHW)"
    )
    parser.add_argument("--logits", action="store_true", help="return the classifier's scores too")
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="the artifact (default: models/NAME.onnx, models/NAME.int8.onnx in int8)",
    )
    parser.add_argument(
        "--list", action="store_true", help="print the published models and their names, and stop"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
