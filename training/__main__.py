"""Command line: `python -m training`, the whole run; again after an interruption, the rest."""

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from training.plot import plot
from training.recipe import DEFAULT
from training.train import Run


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, write the weights and a plot of the loss, say what it cost."""
    parser = argparse.ArgumentParser(
        prog="python -m training",
        description="Train the default model on pictures that a program draws.",
    )
    parser.add_argument("--output", type=Path, default=Path("training/run"), metavar="FOLDER")
    parser.add_argument(
        "--pictures", type=Path, default=Path("training/pictures"), metavar="FOLDER"
    )
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--seed", type=int, default=DEFAULT.seed)
    options = parser.parse_args(arguments)
    run = Run(
        replace(DEFAULT, seed=options.seed), options.output, options.pictures, options.threads
    )
    run.go()
    plot(options.output / "log.jsonl", options.output / "loss.png")
    print(
        f"{options.output / 'model.safetensors'}: {run.recipe.steps} steps over "
        f"{len(run.pictures):,} pictures in {run.seconds / 60:.0f} minutes, "
        f"{run.processor_seconds / 60:.0f} minutes of processor time"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
