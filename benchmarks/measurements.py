"""The measurements: each is repeated, interleaved with what it is compared with; medians count."""

import statistics
import time
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks import corpus, layouts
from benchmarks.load import Plan
from benchmarks.servers import Server, carry_out, running
from service.engine import model
from service.engine.resources import usable_cores
from service.images.preprocess import preprocess
from service.types import Pixels

MANY = 10**9
BUSY = "decode + model, a stream a core"
LONE = "decode + model, one run on all cores"


@dataclass(frozen=True)
class Setup:
    """What to measure, with what, how often and for how long.

    Attributes:
        folder: for files that are needed meanwhile.
        repeats: turns, of which medians are kept.
        seconds: of each measurement.
        models: the artifacts to serve.
        images: the files to send.
        clients: their numbers.
        peers: the Python of an environment with requirements/peers.txt, if there is one.
        torch: what `benchmarks.torch_swin` wrote, if it is to be served too.
    """

    folder: Path
    repeats: int
    seconds: float
    models: Sequence[Path] = ()
    images: Sequence[Path] = ()
    clients: Sequence[int] = ()
    peers: Path | None = None
    torch: Path | None = None


class Ceiling:
    """Images a second without HTTP: in each gear, the model alone and with decoding."""

    def __init__(self, path: Path, setup: Setup) -> None:
        cores = usable_cores()
        loaded = model.load(path, "cpu", 1, cores)
        files = [path.read_bytes() for path in setup.images]
        recipe = loaded.card.preprocessing
        pixels = preprocess(files[0], recipe, MANY).pixels[None]

        def decoded(turn: int) -> Pixels:
            return preprocess(files[turn % len(files)], recipe, MANY).pixels[None]

        self._cases: dict[str, tuple[int, Callable[[int], object]]] = {
            "model, a stream a core": (cores, lambda turn: loaded.run(pixels)),
            "model, one run on all cores": (1, lambda turn: loaded.run(pixels, lone=True)),
            BUSY: (cores, lambda turn: loaded.run(decoded(turn))),
            LONE: (1, lambda turn: loaded.run(decoded(turn), lone=True)),
        }
        self._seconds = setup.seconds
        self._rates: dict[str, list[float]] = defaultdict(list)
        self.precision = loaded.card.precision
        self.recipe = recipe
        self._vector = lambda number: loaded.run(decoded(number))[0].tolist()
        self._files = len(files)

    def vectors(self) -> list[list[float]]:
        """What is to be answered to each of the images."""
        return [self._vector(number) for number in range(self._files)]

    def measure(self, *names: str) -> None:
        """Measure the cases of these names, all if there are none."""
        for name in names or self._cases:
            streams, work = self._cases[name]
            self._rates[name].append(_rate(streams, work, self._seconds))

    def medians(self) -> dict[str, float]:
        """Images a second by case."""
        return {name: statistics.median(rates) for name, rates in self._rates.items()}


def ceilings(setup: Setup) -> dict[str, Any]:
    """Images a second without HTTP, of all models."""
    measured = [Ceiling(path, setup) for path in setup.models]
    for _ in range(setup.repeats):
        for ceiling in measured:
            ceiling.measure()
    return {ceiling.precision: ceiling.medians() for ceiling in measured}


def _rate(streams: int, work: Callable[[int], object], seconds: float) -> float:
    def stream(number: int) -> float:
        done = 0
        began = now = time.perf_counter()
        while now < began + seconds:
            work(done * streams + number)
            done += 1
            now = time.perf_counter()
        return done / (now - began)

    with ThreadPoolExecutor(streams) as threads:
        return sum(threads.map(stream, range(streams)))


def served(setup: Setup) -> dict[str, Any]:
    """Images a second and latencies of the service, its ceiling, and its peers if there are any."""
    return dict(_served(path, setup) for path in setup.models)


def _served(path: Path, setup: Setup) -> tuple[str, dict[str, Any]]:
    ceiling = Ceiling(path, setup)
    vectors = ceiling.vectors()
    everyone = [layouts.ours(path)]
    if setup.peers:
        everyone += layouts.peers(layouts.Subject(path, ceiling.recipe, setup.peers))
        if setup.torch and ceiling.precision == "fp32":
            everyone += layouts.usual(setup.torch, ceiling.recipe, setup.peers)
    images = [str(image) for image in setup.images]
    plans = {
        clients: Plan(0, "", images, vectors, clients, setup.seconds) for clients in setup.clients
    }
    with running(everyone) as servers:
        measured = _interleaved(
            servers, plans, setup.repeats, between=lambda: ceiling.measure(BUSY, LONE)
        )
        rows = {
            server.layout.name: {
                "clients": measured[server.layout.name],
                "ready_s": server.ready_s,
                "resident_mb": server.resident_mb(),
            }
            for server in servers
        }
    return ceiling.precision, {"ceiling": ceiling.medians(), "servers": rows}


def photo(setup: Setup) -> dict[str, Any]:
    """Milliseconds to decode and resize a 12-megapixel photo: whole, and as the service does."""
    recipe = model.load(setup.models[0], "cpu", 1).card.preprocessing
    data = corpus.phone_photo()
    times = defaultdict(list)
    for _ in range(setup.repeats):
        for name, exact in (("exact", True), ("fast", False)):
            began = time.perf_counter()
            preprocess(data, recipe, MANY, exact=exact)
            times[name].append((time.perf_counter() - began) * 1000)
    return {name: statistics.median(milliseconds) for name, milliseconds in times.items()}


def _interleaved(
    servers: Sequence[Server],
    plans: Mapping[int, Plan],
    repeats: int,
    between: Callable[[], None],
) -> dict[str, dict[str, Any]]:
    """Medians by server and number of clients; wrong answers are added up.

    Each repeat begins with another server: the first comes after the ceiling, the others after one
    of their kind.
    """
    for server in servers:
        # Some learn from their first requests how to batch.
        under_load(server, replace(plans[max(plans)], seconds=1))
        server.pause()
    found = defaultdict(list)
    order = deque(servers)
    for _ in range(repeats):
        between()
        for clients, plan in plans.items():
            for server in order:
                found[server.layout.name, clients].append(turn(server, plan))
        order.rotate(-1)
    rows: dict[str, dict[str, Any]] = defaultdict(dict)
    for (name, clients), runs in found.items():
        rows[name][str(clients)] = medians(runs)
    return rows


def turn(server: Server, plan: Plan) -> dict[str, float]:
    """Have a server that is paused work for a while; what was measured."""
    server.resume()
    measured = under_load(server, plan)
    server.pause()
    return measured


def under_load(server: Server, plan: Plan) -> dict[str, float]:
    """Put a load on a server and have what it measured."""
    layout = server.layout
    asked = {"port": server.port, "target": layout.target, "multipart": layout.form}
    return carry_out("benchmarks.load", asdict(plan) | asked)


def medians(runs: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Medians of what was measured; but wrong answers are added up."""
    row = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
    return row | {"wrong": sum(run["wrong"] for run in runs)}
