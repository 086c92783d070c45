"""`python -m benchmarks.scaling`: a burst on replicas behind a load balancer, simulated.

Images come at random (Poisson), the balancer hands each to the replica with the fewest, a replica
has a stream a core and a bounded queue, and the autoscaler does what Kubernetes' does with
deploy/kubernetes/overlays/autoscaled: every 15 s it takes the larger of two wishes, from mean queue
depth and from mean busy streams of the last 30 s, at most doubles in 30 s, and takes a quarter away
a minute after five minutes. Needs `make setup-scale`.
"""

import argparse
import math
import random
import statistics
from collections import deque
from collections.abc import Generator
from dataclasses import dataclass, field, replace
from pathlib import Path

import matplotlib.pyplot as plt
import simpy

CALM_S, BURST_S, AFTER_S = 300, 300, 600
HPA_S, WINDOW_S, STABLE_S, SAMPLE_S = 15, 30, 300, 1
TOLERANCE = 0.1
"""Of the wish, within which Kubernetes leaves the number of pods alone."""


@dataclass(frozen=True)
class Case:
    """What is assumed.

    Attributes:
        name: of the case, in the table.
        image_s: seconds of a core for an image.
        cores: of a replica.
        capacity: images that may wait at a replica.
        start_s: from the wish for a pod to its first image: scheduling, pull, start.
        queue_target: waiting images a pod that the autoscaler aims at.
        least, most: replicas.
        calm, burst: images/s before and after the burst, and in it.
    """

    name: str
    image_s: float = 1 / 13
    cores: int = 2
    capacity: int = 512
    start_s: float = 20
    queue_target: float = 8
    least: int = 2
    most: int = 20
    calm: float = 30
    burst: float = 150


@dataclass
class Replica:
    """A replica: its streams, and what was seen of it each second."""

    streams: simpy.Resource
    ready_at: float
    seen: deque[tuple[int, int]] = field(default_factory=lambda: deque(maxlen=WINDOW_S))

    @property
    def images(self) -> int:
        return len(self.streams.queue) + self.streams.count


class World:
    """A case as it runs; `answers` are seconds of the day and latencies, None where refused."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.env = simpy.Environment()
        self.dice = random.Random(0)  # noqa: S311 - not a secret
        self.answers: list[tuple[float, float | None]] = []
        self.size: list[tuple[float, int]] = []
        self.replicas: list[Replica] = []
        for _ in range(case.least):
            self._add(-1)
        for part in (self._arrivals, self._watch, self._autoscale):
            self.env.process(part())

    def run(self) -> None:
        self.env.run(CALM_S + BURST_S + AFTER_S)

    def _add(self, ready_at: float) -> None:
        self.replicas.append(Replica(simpy.Resource(self.env, self.case.cores), ready_at))

    def _ready(self) -> list[Replica]:
        return [replica for replica in self.replicas if replica.ready_at <= self.env.now]

    def _arrivals(self) -> Generator[simpy.Event]:
        while True:
            in_burst = CALM_S <= self.env.now < CALM_S + BURST_S
            rate = self.case.burst if in_burst else self.case.calm
            yield self.env.timeout(self.dice.expovariate(rate))
            ready = self._ready()
            fewest = min(replica.images for replica in ready)
            replica = self.dice.choice([one for one in ready if one.images == fewest])
            if len(replica.streams.queue) >= self.case.capacity:
                self.answers.append((self.env.now, None))
            else:
                self.env.process(self._embed(replica))

    def _embed(self, replica: Replica) -> Generator[simpy.Event]:
        came = self.env.now
        with replica.streams.request() as turn:
            yield turn
            # Larger and smaller files: a fifth of the mean is its deviation.
            yield self.env.timeout(max(0.0, self.dice.gauss(1, 0.2)) * self.case.image_s)
        self.answers.append((came, self.env.now - came))

    def _watch(self) -> Generator[simpy.Event]:
        while True:
            ready = self._ready()
            for replica in ready:
                replica.seen.append((len(replica.streams.queue), replica.streams.count))
            self.size.append((self.env.now, len(ready)))
            yield self.env.timeout(SAMPLE_S)

    def _autoscale(self) -> Generator[simpy.Event]:
        case = self.case
        wishes: deque[tuple[float, int]] = deque()
        sizes: deque[tuple[float, int]] = deque()
        while True:
            yield self.env.timeout(HPA_S)
            now, size = self.env.now, len(self.replicas)
            seen = [replica.seen for replica in self._ready() if replica.seen]
            queued = statistics.mean(statistics.mean(q for q, _ in one) for one in seen)
            busy = statistics.mean(statistics.mean(b for _, b in one) for one in seen) / case.cores
            ratio = max(queued / case.queue_target, busy / 0.8)
            wish = size if abs(ratio - 1) <= TOLERANCE else math.ceil(len(seen) * ratio)
            wish = min(max(wish, case.least), case.most)
            wishes.append((now, wish))
            sizes.append((now, size))
            before = min(count for at, count in sizes if at >= now - 30)
            largest = max(count for at, count in sizes if at >= now - 60)
            if wish > size:
                for _ in range(min(wish, 2 * before) - size):
                    self._add(now + case.start_s)
            else:
                calm = max(count for at, count in wishes if at >= now - STABLE_S)
                keep = max(calm, math.floor(largest * 0.75))
                # What a pod that goes has in hand it still answers.
                self.replicas.sort(key=lambda replica: replica.ready_at)
                del self.replicas[max(keep, case.least) :]


def quantile(latencies: list[float], share: float) -> float:
    """The smallest latency that a share of them does not exceed; nan of none."""
    return sorted(latencies)[math.ceil(share * len(latencies)) - 1] if latencies else math.nan


def row(world: World) -> str:
    """A case as a line of the table."""
    burst = [(at, s) for at, s in world.answers if CALM_S <= at < CALM_S + BURST_S]
    calm = [s for at, s in world.answers if at < CALM_S and s is not None]
    answered = [s for _, s in burst if s is not None]
    late = [s for at, s in burst if s is not None and at >= CALM_S + BURST_S / 2]
    # Of ten seconds: the last that had a p99 above a second, counted from the burst's start.
    slow = [
        ten
        for ten in range(0, BURST_S, 10)
        if quantile([s for at, s in burst if s is not None and 0 <= at - CALM_S - ten < 10], 0.99)
        > 1
    ]
    cells = [
        world.case.name,
        f"{quantile(calm, 0.99) * 1000:.0f} ms",
        f"{quantile(answered, 0.5):.2f} / {quantile(answered, 0.99):.1f} s",
        f"{quantile(late, 0.99):.2f} s",
        f"{max(slow) + 10 if slow else 0} s",
        f"{100 * (1 - len(answered) / len(burst)):.1f} %",
        str(max(count for _, count in world.size)),
    ]
    return f"| {' | '.join(cells)} |"


def plot(worlds: list[World], path: Path) -> None:
    """p99 of each ten seconds, and replicas, over time."""
    figure, (upper, lower) = plt.subplots(2, 1, sharex=True, figsize=(8, 5), layout="constrained")
    for world in worlds:
        tens: dict[int, list[float]] = {}
        for at, seconds in world.answers:
            if seconds is not None:
                tens.setdefault(int(at) // 10 * 10, []).append(seconds)
        times = sorted(tens)
        upper.plot(times, [quantile(tens[at], 0.99) for at in times], label=world.case.name)
        lower.plot(*zip(*world.size, strict=True))
    upper.set(yscale="log", ylabel="p99 of 10 s, seconds")
    lower.set(xlabel="seconds", ylabel="replicas that serve")
    upper.legend(fontsize="small")
    for axes in (upper, lower):
        axes.axvspan(CALM_S, CALM_S + BURST_S, alpha=0.1)
    figure.savefig(path, dpi=100)


def main() -> None:
    """Print the table, and draw the first cases."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description=__doc__)
    parser.add_argument("--plot", type=Path, default=Path("docs/scaling.png"))
    options = parser.parse_args()
    usual = Case("as shipped")
    cases = [
        usual,
        replace(usual, name="4 replicas at least", least=4),
        replace(usual, name="queue of 64", capacity=64),
        replace(usual, name="a pod starts in 5 s", start_s=5),
        replace(usual, name="a pod starts in 60 s", start_s=60),
        replace(usual, name="queue target 2", queue_target=2),
        replace(usual, name="12 replicas, all the time", least=12, most=12),
    ]
    worlds = [World(case) for case in cases]
    print(
        "| | p99 before | p50 / p99 in the burst | p99 in its second half | over 1 s for | 429 "
        "| replicas |"
    )
    print("| --- " * 7 + "|")
    for world in worlds:
        world.run()
        print(row(world), flush=True)
    plot(worlds[:3], options.plot)


if __name__ == "__main__":
    main()
