"""`python -m service tune --model FILE`: tries layouts of streams and threads on this CPU."""

import os
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np

from model_export import __version__
from service.command_line import misspelt, settings_from
from service.engine import model as models
from service.engine.resources import usable_cores

seconds = click.option(
    "--seconds",
    type=click.FloatRange(min=0, min_open=True),
    metavar="N",
    default=1.0,
    help="of each measurement (default: 1)",
)
"""The option of how long a layout is tried."""


@dataclass(frozen=True)
class Layout:
    """`streams` runs at a time, each on `threads` threads."""

    streams: int
    threads: int


@dataclass(frozen=True)
class Trial:
    """The result of a layout: images a second under load, and seconds for a single image."""

    layout: Layout
    images_per_s: float
    lone_s: float


def layouts(cores: int) -> list[Layout]:
    """The ways to divide the cores, from one stream a core to one stream on all of them."""
    threads = [count for count in (1, 2, 4, 8) if count < cores and cores % count == 0]
    return [Layout(cores // count, count) for count in [*threads, cores]]


def advice(trials: Sequence[Trial]) -> dict[str, int]:
    """Settings for these trials; none where the defaults are best.

    The defaults run a stream on each core, as the first trial does, and a single image on all
    cores, as the last one does.
    """
    most = max(trials, key=lambda trial: trial.images_per_s)
    if most.layout.threads == 1:
        lone_best = trials[-1].lone_s <= trials[0].lone_s
        return {} if lone_best else {"SWIN_THREADS_PER_STREAM": 1}
    return {
        "SWIN_STREAMS": most.layout.streams,
        "SWIN_THREADS_PER_STREAM": most.layout.threads,
    }


def measure(path: Path, layout: Layout, seconds: float) -> Trial:
    """Time a layout on a grey image: one stream for `seconds`, then all streams."""
    loaded = models.load(path, "cpu", layout.threads)
    size = loaded.card.image_size
    image = np.full((1, size, size, 3), 128, np.uint8)
    loaded.run(image)

    def runs() -> int:
        done = 0
        until = time.perf_counter() + seconds
        while time.perf_counter() < until:
            loaded.run(image)
            done += 1
        return done

    began = time.perf_counter()
    lone_runs = runs()
    lone_s = (time.perf_counter() - began) / lone_runs
    counts: list[int] = []
    streams = [
        threading.Thread(target=lambda: counts.append(runs())) for _ in range(layout.streams)
    ]
    began = time.perf_counter()
    for stream in streams:
        stream.start()
    for stream in streams:
        stream.join()
    return Trial(layout, sum(counts) / (time.perf_counter() - began), lone_s)


def report(path: Path, seconds: float) -> Iterator[str]:
    """A line for each layout, then the settings to use.

    Raises:
        ArtifactError: the model cannot be loaded.
    """
    trials = []
    for layout in layouts(usable_cores()):
        trials.append(trial := measure(path, layout, seconds))
        yield (
            f"{layout.streams:3} streams x {layout.threads:2} threads: "
            f"{trial.images_per_s:7.1f} images/s, a lone image in {trial.lone_s * 1000:.1f} ms"
        )
    settings = advice(trials)
    if not settings:
        yield "the defaults are best: a stream a core, and all cores for a lone image"
    yield from (f"{name}={value}" for name, value in settings.items())


@click.command
@click.option("--model", metavar="FILE", help="the artifact (default: SWIN_MODEL)")
@seconds
@click.version_option(__version__, prog_name="swin-embed")
def command(model: str | None, seconds: float) -> None:
    """Try layouts of streams and threads on this CPU, and print the settings to use."""
    for warning in misspelt(os.environ):
        click.echo(f"warning: {warning}", err=True)
    path = models.existing(settings_from(model=model).model)
    for line in report(path, seconds):
        click.echo(line)
