"""The engine that a command line asks for."""

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from service import command_line
from service.engine import memory, placement, resources
from service.engine.embedder import Embedder
from service.observability.observer import Observer
from service.settings import Settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options that choose an engine."""
    parser.add_argument("--model", type=Path, metavar="FILE", help="the .onnx file (SWIN_MODEL)")
    parser.add_argument("--device", help="auto, cpu, cuda or tensorrt (SWIN_DEVICE)")


def settings(options: argparse.Namespace) -> Settings:
    """What the options and the environment say.

    Raises:
        SettingsError: some of it is wrong.
    """
    names = ("model", "device")
    return command_line.of(
        **{name: value for name in names if (value := getattr(options, name)) is not None}
    )


@contextmanager
def started(options: argparse.Namespace) -> Iterator[Embedder]:
    """An embedder as the options and the environment say; it ends with the block."""
    sys.setswitchinterval(resources.SWITCH_S)
    memory.lay_out_heaps(resources.usable_cores())
    embedder = Embedder(settings(options), Observer(), partial(placement.load, lone_runs=False))
    try:
        yield embedder
    finally:
        embedder.close()
