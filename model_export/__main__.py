"""Command line: `python -m model_export NAME|FILE|FOLDER|hf://ORG/REPOSITORY`."""

import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import click

from model_export import __version__, console, inspection, listing
from model_export.errors import ExportError
from model_export.export import FP32
from model_export.making import make
from model_export.model_card import Precision, Verification


def _cosine(text: str) -> float:
    try:
        cosine = float(text)
    except ValueError:
        cosine = math.nan
    if not -1 <= cosine <= 1:
        raise click.BadParameter(f"{text!r} is not a cosine, which is from -1 to 1")
    return cosine


@click.command
@click.argument("name", metavar="NAME|FILE", required=False, shell_complete=listing.complete)
@click.option(
    "--weights",
    metavar="hub|random|FILE",
    help="weights of a published NAME: 'hub' (the default), 'random' (seeded, untrained), or a "
    "file, a folder, hf://ORG/REPOSITORY[@REVISION]",
)
@click.option(
    "--precision",
    type=click.Choice(["fp32", "fp16", "int8"]),
    default=FP32.precision,
    show_default=True,
)
@click.option(
    "--calibration",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="images to take int8's ranges from and to measure on (default: images made up)",
)
@click.option(
    "--min-cosine",
    type=_cosine,
    metavar="COSINE",
    help="refuse an artifact with an embedding further than this from fp32's "
    f"(default: {FP32.min_cosine})",
)
@click.option(
    "--image-size",
    type=click.IntRange(min=1),
    metavar="PIXELS",
    help="make it for other images than it was trained for, with windows to match",
)
@click.option("--features", is_flag=True, help="return the stages' feature maps too (NCHW)")
@click.option("--logits", is_flag=True, help="return the classifier's scores too")
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="the artifact (default: models/NAME.onnx, models/NAME.int8.onnx in int8)",
)
@click.option(
    "--list", "list_them", is_flag=True, help="print the published models and their names, and stop"
)
@click.version_option(__version__, prog_name="swin-embed")
def command(
    name: str | None,
    weights: str | None,
    precision: Precision,
    calibration: Path | None,
    min_cosine: float | None,
    image_size: int | None,
    features: bool,
    logits: bool,
    output: Path | None,
    list_them: bool,
) -> None:
    """Turn a Swin checkpoint into one verified, self-describing ONNX file.

    NAME is a published model, for example swin_tiny_patch4_window7_224, or a checkpoint to
    recognise: a file, a folder, hf://ORG/REPOSITORY[@REVISION].
    """
    if list_them:
        click.echo(listing.table())
        return
    if name is None:
        raise click.UsageError("name a model or a checkpoint, or ask for --list")
    started = time.perf_counter()
    card, path, parameters = make(
        name,
        output,
        weights=weights,
        precision=precision,
        calibration=calibration,
        min_cosine=min_cosine,
        image_size=image_size,
        features=features,
        logits=logits,
        tell=click.echo,
    )
    prepared = card.preprocessing
    trained = "trained" if card.pretrained else "untrained: good for trying out, not for meaning"
    revision = f" at {card.weights.revision[:12]}" if card.weights.revision else ""
    how = "short side to" if prepared.resize_mode == "short_side" else "stretched to"
    lines = (
        f"{card.name} -> {path}",
        f"  weights     {card.weights.source}{revision} ({trained})",
        f"  parameters  {parameters:,}",
        f"  size        {path.stat().st_size / 1e6:.1f} MB, {card.precision}",
        f"  images      {how} {prepared.resize}, {prepared.interpolation}, "
        f"crop {prepared.crop} x {prepared.crop}",
        f"  embedding   {card.embedding_dim} dimensions",
        *(f"  also        {o.name} {' x '.join(map(str, o.shape))}" for o in card.outputs),
        f"  verified    {_verified(card.verification)}",
        f"  took        {time.perf_counter() - started:.1f} s",
    )
    click.echo("\n".join(lines))


@click.command
@click.argument("file", type=click.Path(path_type=Path))
def inspect(file: Path) -> None:
    """Say what is in an artifact."""
    found = inspection.contents(file)
    lines = {
        "card": found.card.model_dump_json(indent=2),
        "size": f"{found.size / 1e6:.1f} MB: "
        + ", ".join(f"{kind} {size / 1e6:.1f}" for kind, size in found.stored.most_common()),
        "parameters": f"{found.parameters:,}" if found.parameters else "unknown architecture",
        "products": f"{found.multiplications / 1e9:.2f} GMAC, "
        f"{2 * found.multiplications / 1e9:.2f} GFLOP for an image",
        "operators": ", ".join(f"{count} {name}" for name, count in found.operators.most_common()),
    }
    click.echo("\n".join(console.bold(f"{name:<12}") + text for name, text in lines.items()))


@click.command
@click.argument("left", metavar="A", type=click.Path(path_type=Path))
@click.argument("right", metavar="B", type=click.Path(path_type=Path))
@click.option(
    "--images",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="images to embed with both (default: images made up)",
)
def compare(left: Path, right: Path, images: Path | None) -> None:
    """Say how far two artifacts' embeddings of the same images are apart."""
    found = inspection.distance(left, right, images)
    click.echo(
        f"{found.images} images: cosine {console.bold(f'{found.mean_cosine:.6f}')} on average, "
        f"{console.bold(f'{found.worst_cosine:.6f}')} at worst; largest difference "
        f"{found.largest_difference:.2e}, where the largest value is {found.largest_value:.2e}"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    others = {"inspect": f"{__name__}:inspect", "compare": f"{__name__}:compare"}
    foreseen = (ExportError, OSError)
    return console.run(command, arguments, "python -m model_export", foreseen, others)


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


if __name__ == "__main__":
    sys.exit(main())
