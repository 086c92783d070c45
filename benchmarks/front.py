"""Where one process stops: requests/s around a model that costs nothing, with fronts and without.

    python -m benchmarks.front [--peers PYTHON]

Two services, each with half of the clients, are the most that two front processes before one engine
could give: they share nothing. All are loaded in turn; the clients share the cores.
"""

import argparse
import statistics
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from benchmarks import free, layouts
from benchmarks.load import Plan
from benchmarks.pieces import under_load
from benchmarks.servers import Layout, Server, running


def measure(
    contenders: dict[str, Sequence[Layout]], plan: Plan, repeats: int
) -> dict[str, list[dict[str, float]]]:
    """What each contender did in each turn; its layouts are loaded at once, and share the clients.

    Rates and wrong answers are of all its layouts together, latencies of the slowest.
    """
    turns = defaultdict(list)
    everyone = [layout for several in contenders.values() for layout in several]
    with running(everyone) as servers, ThreadPoolExecutor() as clients:
        by_layout = dict(zip(map(id, everyone), servers, strict=True))
        for _ in range(repeats):
            for name, several in contenders.items():
                share = replace(plan, clients=plan.clients // len(several))

                def load(server: Server, share: Plan = share) -> dict[str, float]:
                    return under_load(server.layout, server.port, share)

                parts = list(clients.map(load, [by_layout[id(layout)] for layout in several]))
                turns[name].append(
                    {
                        "images_per_s": sum(part["images_per_s"] for part in parts),
                        "wrong": sum(part["wrong"] for part in parts),
                        "p50_ms": max(part["p50_ms"] for part in parts),
                        "p99_ms": max(part["p99_ms"] for part in parts),
                    }
                )
    return turns


def table(turns: dict[str, list[dict[str, float]]]) -> list[str]:
    """Medians as lines of Markdown."""
    lines = ["| | requests/s | p50 / p99 ms | wrong answers |", "| --- | --- | --- | --- |"]
    for name, several in turns.items():
        rate, p50, p99 = (
            statistics.median(turn[key] for turn in several)
            for key in ("images_per_s", "p50_ms", "p99_ms")
        )
        wrong = sum(turn["wrong"] for turn in several)
        lines.append(f"| {name} | {rate:.0f} | {p50:.1f} / {p99:.1f} | {wrong:.0f} |")
    return lines


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=3, help="of each measurement")
    parser.add_argument("--repeats", type=int, default=3, help="interleaved; medians are printed")
    parser.add_argument(
        "--peers", type=Path, help="the python of an environment with requirements/peers.txt"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = folder / "free.onnx"
        free.write(model)
        images, vectors = free.requests(model, folder)
        ours = [layouts.ours(model) for _ in range(3)]
        contenders: dict[str, Sequence[Layout]] = {
            "swin-embed, 1 process": ours[:1],
            "swin-embed, SWIN_WORKERS=2": [layouts.ours(model, workers=2)],
            "swin-embed, 2 services": ours[1:],
        }
        if options.peers:
            for workers in (1, 2):
                for peer in (layouts.naive, layouts.litserve):
                    layout = peer(model, options.peers, workers=workers)
                    contenders[layout.name] = [layout]
        plan = Plan(0, "", images, vectors, options.clients, options.seconds)
        print("\n".join(table(measure(contenders, plan, options.repeats))))


if __name__ == "__main__":
    main()
