"""`python -m benchmarks.overload --model FILE`: what becomes of more work than there is time for.

Offers 0.5 to 10 times what the service can do and prints a table. The client shares the machine,
so there are two: `--engine elsewhere` (the default) has runs take time but no processor, as on a
GPU, so that what is measured is the service; `--engine here` runs the model, so that client,
refusals and runs all want the same cores.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import corpus, null_model, open_load
from benchmarks.servers import Layout, carry_out, running

LOADS = (0.5, 1, 2, 5, 10)
RUN_S = 0.02
GUESS = 250.0
"""Images a second to begin the search for the capacity with."""

COLUMNS = (
    *("Offered", "Goodput/s", "of that at 1", "Accepted, p50 / p99 ms", "Queue / pace, ms"),
    *("Retry-After, s", "Refused/s", "Refused, p50 / p99 ms", "Not answered once"),
    "Cores: service, client",
)


def serve() -> int:
    """The service, with runs that wait instead of computing."""
    from service import __main__
    from service.engine import model
    from service.types import Pixels, Vectors

    def run(self: model.Model, pixels: Pixels, *, lone: bool = False) -> Vectors:
        time.sleep(RUN_S)
        return np.ones((len(pixels), self.card.embedding_dim), np.float32)

    model.Model.run = run  # type: ignore[method-assign]
    return __main__.main()


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.overload", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--engine", choices=["elsewhere", "here"], default="elsewhere")
    parser.add_argument("--model", type=Path, help="the artifact that runs here")
    parser.add_argument("--seconds", type=float, default=6, help="of each measurement")
    parser.add_argument("--repeats", type=int, default=3, help="interleaved; medians are kept")
    parser.add_argument("--queue", type=int, default=64, help="places: few, so that it fills soon")
    parser.add_argument("--deadline", type=float, default=30, help="seconds a request may take")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        images = [str(path) for path in corpus.write(folder)]
        if options.engine == "elsewhere":
            options.model = folder / "free.onnx"
            null_model.write(options.model)
        rounds: dict[float, list[dict[str, Any]]] = {times: [] for times in LOADS}
        service = layout(options.engine, options.model, options.queue, options.deadline)
        with running([service]) as (server,):
            capacity = _capacity(server.port, images, options.seconds)
            print(f"capacity: {capacity:.1f} images/s\n", flush=True)
            for _ in range(options.repeats):
                for times in LOADS:
                    plan = open_load.Plan(server.port, images, times * capacity, options.seconds)
                    before, began = _cpu_s(server.process), time.perf_counter()
                    measured = carry_out("benchmarks.open_load", asdict(plan))
                    took = time.perf_counter() - began
                    measured["service_cpu"] = (_cpu_s(server.process) - before) / took
                    rounds[times].append(measured)
    medians = {times: _median(of_one) for times, of_one in rounds.items()}
    print(_table(medians, options.queue))


def layout(engine: str, model: Path, queue: int = 64, deadline_s: float = 30) -> Layout:
    """The service on a model that runs here, or on one whose runs merely take time."""
    program = ("benchmarks.overload", "serve") if engine == "elsewhere" else ("service",)
    return Layout(
        f"swin-embed, engine {engine}",
        (sys.executable, "-m", *program, "--port", "{port}", "--log-level", "warning"),
        {
            "SWIN_MODEL": str(model),
            "SWIN_MAX_QUEUE_SIZE": str(queue),
            "SWIN_MAX_IMAGES_PER_REQUEST": str(queue),
            "SWIN_REQUEST_TIMEOUT_S": str(deadline_s),
            "SWIN_READ_TIMEOUT_S": "5",
        },
        "/embed",
        "/health/ready",
    )


def _capacity(port: int, images: Sequence[str], seconds: float) -> float:
    """Images a second with a queue that is hardly ever empty: offered a little too much."""
    capacity = GUESS
    for _ in range(3):
        plan = open_load.Plan(port, list(images), 1.2 * capacity, seconds)
        capacity = float(carry_out("benchmarks.open_load", asdict(plan))["goodput"])
    return capacity


def _cpu_s(process: int) -> float:
    """Processor seconds that a process has taken."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _median(rounds: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Medians, but of what must never be: sums."""
    middle = sorted(rounds, key=lambda one: one["goodput"])[len(rounds) // 2]
    return {
        **middle,
        "goodput": statistics.median(one["goodput"] for one in rounds),
        "amiss": sum(_amiss(one) for one in rounds),
        "sent": sum(one["sent"] for one in rounds),
    }


def _amiss(one: Mapping[str, Any]) -> int:
    """Requests that were not answered once, with 200 or 429."""
    known = sum(one["answers"].get(status, 0) for status in ("200", "429"))
    return int(one["sent"] - known + (one["surplus"] > 0))


def _table(rows: Mapping[float, Mapping[str, Any]], queue: int) -> str:
    lines = [f"| {' | '.join(COLUMNS)} |", "| --- " * len(COLUMNS) + "|"]
    at_capacity = rows[1]["goodput"]
    for times, row in rows.items():
        cells = (
            f"{times:g} x ({row['offered']:.0f}/s)",
            f"{row['goodput']:.1f}",
            f"{row['goodput'] / at_capacity:.1%}",
            f"{row['accepted_ms'][0]:.0f} / {row['accepted_ms'][1]:.0f}",
            f"{1000 * queue / row['goodput']:.0f}",
            f"{row['retry_after_s']:g}",
            f"{row['refused']:.0f}",
            f"{row['refused_ms'][0]:.1f} / {row['refused_ms'][1]:.1f}",
            f"{row['amiss']} of {row['sent']}",
            f"{row['service_cpu']:.2f}, {row['cpu']:.2f}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        del sys.argv[1]
        sys.exit(serve())
    main()
