"""Where one process stops: requests/s around a model that costs nothing, with workers and without.

    python -m benchmarks.frontend [--peers PYTHON]

Two services, each with half of the clients, are the most that two worker processes before one
engine could give: they share nothing. All are loaded in turn; the clients share the cores.
"""

import argparse
import sys
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from benchmarks import layouts, null_model, report
from benchmarks.load import Plan
from benchmarks.measurements import Setup, medians, turn
from benchmarks.servers import Layout, running

CLIENTS = 16

Rows = dict[str, dict[str, float]]


def piece(setup: Setup) -> Rows:
    """Requests a second and latencies of the service and of FastAPI, and of peers if there are any.

    Their names say what is sent: the image as it is, or in a form.
    """
    model = setup.folder / "free.onnx"
    null_model.write(model)
    images, vectors = null_model.requests(model, setup.folder)
    plan = Plan(0, "", images, vectors, CLIENTS, setup.seconds)
    return measure(_contenders(model, setup.peers), plan, setup.repeats)


def _contenders(model: Path, python: Path | None) -> dict[str, Sequence[Layout]]:
    ours = [layouts.ours(model) for _ in range(3)]
    subject = layouts.Subject(model, null_model.RECIPE, python or Path(sys.executable))
    everyone: dict[str, Sequence[Layout]] = {
        "swin-embed, 1 process": ours[:1],
        "swin-embed, SWIN_WORKERS=2": [layouts.ours(model, workers=2)],
        "swin-embed, 2 services": ours[1:],
        "swin-embed, 1 process, form": [replace(layouts.ours(model), form=True)],
    }
    peers = [layouts.naive(subject, workers=workers) for workers in (1, 2)]
    peers.append(layouts.naive(subject, form=True))
    if python:
        for peer in (layouts.litserve, layouts.bentoml):
            peers += [peer(subject, workers=workers) for workers in (1, 2)]
    for layout in peers:
        everyone[f"{layout.name}{', form' if layout.form else ''}"] = [layout]
    return everyone


def measure(contenders: Mapping[str, Sequence[Layout]], plan: Plan, repeats: int) -> Rows:
    """What contenders did, in turns; the layouts of one are loaded at once, and share the clients.

    Rates and wrong answers are of all its layouts together, latencies of the slowest.
    """
    turns = defaultdict(list)
    everyone = [layout for several in contenders.values() for layout in several]
    with running(everyone) as servers, ThreadPoolExecutor() as clients:
        for server in servers:
            server.pause()
        by_layout = dict(zip(map(id, everyone), servers, strict=True))
        for _ in range(repeats):
            for name, several in contenders.items():
                share = replace(plan, clients=plan.clients // len(several))
                used = [by_layout[id(layout)] for layout in several]
                parts = list(clients.map(turn, used, [share] * len(used)))
                turns[name].append(
                    {
                        "images_per_s": sum(part["images_per_s"] for part in parts),
                        "wrong": sum(part["wrong"] for part in parts),
                        "p50_ms": max(part["p50_ms"] for part in parts),
                        "p99_ms": max(part["p99_ms"] for part in parts),
                    }
                )
    return {name: medians(runs) for name, runs in turns.items()}


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.frontend", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--seconds", type=float, default=3, help="of each measurement")
    parser.add_argument("--repeats", type=int, default=3, help="interleaved; medians are printed")
    parser.add_argument(
        "--peers", type=Path, help="the python of an environment with requirements/peers.txt"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        setup = Setup(folder=Path(folder), **vars(options))
        print(report.free(piece(setup)))


if __name__ == "__main__":
    main()
