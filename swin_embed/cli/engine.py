"""The engine that a command asks for."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import TypeVar

import click

from service.command_line import misspelt, settings_from
from service.engine import memory, placement, resources
from service.engine.embedder import Embedder
from service.observability import logs
from service.observability.observer import Observer
from service.settings import Settings

Decorated = TypeVar("Decorated", bound=Callable[..., object])


def options(function: Decorated) -> Decorated:
    """Have a command take the options that choose an engine: `model` and `device`."""
    model = click.option("--model", type=click.Path(), help="the .onnx file (SWIN_MODEL)")
    device = click.option("--device", help="auto, cpu, cuda or tensorrt (SWIN_DEVICE)")
    return model(device(function))


def settings(model: str | None, device: str | None) -> Settings:
    """What the options and the environment say.

    Raises:
        SettingsError: some of it is wrong.
    """
    for warning in misspelt(os.environ):
        click.echo(f"warning: {warning}", err=True)
    return settings_from(model=model, device=device)


@contextmanager
def started(settings: Settings) -> Iterator[Embedder]:
    """An embedder as the settings say; it ends with the block, or with SIGTERM."""
    signal.signal(signal.SIGTERM, _interrupt)
    logs.configure("console", "warning")
    memory.lay_out_heaps(resources.usable_cores())
    embedder = Embedder(settings, Observer(), partial(placement.load, lone_runs=False))
    try:
        yield embedder
    finally:
        embedder.close()


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
