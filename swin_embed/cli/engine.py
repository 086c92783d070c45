"""The engine that a command asks for."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, TypeVar, get_args

import click

from model_export import listing
from service.command_line import misspelt, settings_from
from service.settings import Settings
from swin_embed import artifacts

if TYPE_CHECKING:
    from service.engine.embedder import Embedder

Decorated = TypeVar("Decorated", bound=Callable[..., object])


model = click.option(
    "--model",
    metavar="NAME|FILE",
    shell_complete=listing.complete,
    help="a published model, a checkpoint or an .onnx file (default: SWIN_MODEL, else the "
    "model that comes with swin-embed)",
)


def options(function: Decorated) -> Decorated:
    """Have a command take the options that choose an engine: `model` and `device`."""
    device = click.option(
        "--device", metavar="DEVICE", help="auto, cpu, cuda or tensorrt (SWIN_DEVICE)"
    )
    return model(device(function))


precision = click.option(
    "--precision",
    type=click.Choice(get_args(artifacts.Precision)),
    help="of a model that is made: fp32 (the default), fp16 for GPUs, int8 for CPUs",
)


def settings(
    model: str | None, device: str | None, precision: artifacts.Precision | None = None
) -> Settings:
    """What the options and the environment say; a model that is asked for is made if need be.

    Raises:
        SettingsError: some of it is wrong.
        ArtifactError, ExportError: there is no such model.
    """
    for warning in misspelt(os.environ):
        click.echo(f"warning: {warning}", err=True)
    found = settings_from(device=device)
    asked = model is not None or precision is not None
    return with_artifact(found, model, precision=precision) if asked else found


def with_artifact(
    settings: Settings,
    model: str | None = None,
    weights: str | None = None,
    precision: artifacts.Precision | None = None,
) -> Settings:
    """The settings with the artifact of a model, or of what they name as one.

    Raises:
        ArtifactError, ExportError: there is no such model.
    """
    path = artifacts.find(
        model or settings.model,
        weights=weights,
        precision=precision,
        home=settings.home,
        tell=partial(click.echo, err=True),
    )
    return settings.model_copy(update={"model": path})


@contextmanager
def started(settings: Settings) -> Iterator["Embedder"]:
    """An embedder as the settings say; it ends with the block, or with SIGTERM.

    The model is made if that has not been done yet.
    """
    # The engine takes a second to import, and many commands end without one.
    from service.engine import memory, placement, resources
    from service.engine.embedder import Embedder
    from service.observability import logs
    from service.observability.observer import Observer

    signal.signal(signal.SIGTERM, _interrupt)
    logs.configure("console", "warning")
    memory.lay_out_heaps(resources.usable_cores())
    settings = with_artifact(settings)
    embedder = Embedder(settings, Observer(), partial(placement.load, lone_runs=False))
    try:
        yield embedder
    finally:
        embedder.close()


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
