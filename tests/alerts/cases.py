"""What makes each alert fire, and what the runbook says to do about it.

A case is a generator: it breaks something, yields the alerts that have to fire, and mends it.
"""

import itertools
import os
import shutil
import signal
import socket
import time
from collections.abc import Callable, Generator
from pathlib import Path

import numpy as np
from PIL import Image

from tests.alerts.service import Service
from tests.faults import server
from tests.support.images import encode, photos

PLAIN = ("-m", "service")
FAULTY = ("-m", "tests.faults.server")
BASELINE_S = 40
CHANCE = np.random.default_rng()
CONNECTIONS = 1000

Case = Generator[tuple[str, ...], None, None]
Breaks = Callable[[Service], Case]


def crop() -> bytes:
    """A crop of a photo that was not sent before."""
    return encode(_crop(), "JPEG", quality=85)


def swapped() -> bytes:
    """The same with red and blue swapped."""
    red, green, blue = _crop().split()
    return encode(Image.merge("RGB", (blue, green, red)), "JPEG", quality=85)


def _crop() -> Image.Image:
    photo = list(photos().values())[CHANCE.integers(len(photos()))]
    left, top = CHANCE.integers(photo.width // 3), CHANCE.integers(photo.height // 3)
    size = CHANCE.integers(photo.height // 3, photo.height // 2)
    return photo.crop((left, top, left + size, top + size))


def large() -> bytes:
    """An image near the limit of pixels, of few bytes."""
    return LARGE


LARGE = encode(Image.new("RGB", (7900, 7900), "teal"), "PNG")


def down(service: Service) -> Case:
    service.kill()
    yield ("SwinDown",)
    service.start()


def draining(service: Service) -> Case:
    service.signal(signal.SIGTERM)  # and it serves on for SWIN_DRAIN_SECONDS
    yield ("SwinNotReady",)
    service.kill()
    service.start()


def failing_runs(service: Service) -> Case:
    images = itertools.cycle([crop(), server.image("run fails")])
    with service.traffic(lambda: next(images)):
        yield ("SwinErrorBudgetBurn", "SwinInferenceFailing")
    with service.traffic(crop):
        time.sleep(30)  # as ratios fall only while there are requests


def overloaded(service: Service) -> Case:
    with service.traffic(large, clients=10):
        yield ("SwinQueueNearFull",)


def slow(service: Service) -> Case:
    with service.traffic(large, clients=4):
        yield ("SwinLatencyBudgetBurn",)
    with service.traffic(crop):
        time.sleep(30)


def hung(service: Service) -> Case:
    with service.traffic(lambda: server.image("run hangs"), clients=4):
        yield ("SwinEngineStuck",)
        service.kill()
    service.start()


def ending_workers(service: Service) -> Case:
    assert service.process is not None
    for worker in workers(service.process.pid)[1:]:  # one is left to be scraped
        os.kill(worker, signal.SIGKILL)
    yield ("SwinWorkersEnding",)


def bad_reload(service: Service) -> Case:
    good = service.model.with_suffix(".good")
    shutil.copy(service.model, good)
    service.model.write_bytes(b"not a model")
    service.signal(signal.SIGHUP)
    yield ("SwinReloadFailed",)
    shutil.copy(good, service.model)
    service.signal(signal.SIGHUP)


def drifting(service: Service) -> Case:
    with service.traffic(crop, clients=4):
        time.sleep(BASELINE_S)
    with service.traffic(swapped, clients=4):
        yield ("SwinInputDrift",)
    with service.traffic(crop, clients=4):
        time.sleep(15)


def repeating(service: Service) -> Case:
    with service.traffic(crop, clients=4):
        time.sleep(BASELINE_S)
    same = crop()
    with service.traffic(lambda: same, clients=4):
        yield ("SwinDuplicateImages",)
    with service.traffic(crop, clients=4):
        time.sleep(15)


def many_connections(service: Service) -> Case:
    opened = [socket.create_connection(("127.0.0.1", service.port)) for _ in range(CONNECTIONS)]
    for one in opened:
        one.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")  # then idle
    yield ("SwinOpenFiles",)
    for one in opened:
        one.close()


def full_gpu(service: Service) -> Case:
    yield ("SwinGpuMemoryFull",)
    service.signal(signal.SIGUSR1)


def untrained(service: Service) -> Case:
    yield ("SwinUntrainedModel",)
    shutil.copy(service.trained, service.model)
    service.signal(signal.SIGHUP)


def leaking(service: Service) -> Case:
    yield ("SwinMemoryGrowth",)
    service.kill()
    service.start()


def workers(process: int) -> list[int]:
    """The worker processes of a service."""
    started = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return [
        int(one) for one in started if "workers.worker" in Path(f"/proc/{one}/cmdline").read_text()
    ]


CASES: dict[Breaks, tuple[tuple[str, ...], dict[str, object]]] = {
    leaking: (("-m", "tests.alerts.server", "leak"), {}),
    down: (PLAIN, {}),
    draining: (PLAIN, {"drain_seconds": 300}),
    failing_runs: (FAULTY, {}),
    hung: (FAULTY, {"request_timeout_s": 120}),
    ending_workers: (PLAIN, {"workers": 4}),
    bad_reload: (PLAIN, {}),
    untrained: (PLAIN, {}),
    full_gpu: (("-m", "tests.alerts.server", "gpu"), {}),
    many_connections: (PLAIN, {"max_connections": CONNECTIONS}),
    overloaded: (PLAIN, {"streams": 1, "max_queue_size": 8, "max_images_per_request": 1}),
    slow: (PLAIN, {"streams": 1}),
    drifting: (PLAIN, {}),
    repeating: (PLAIN, {}),
}
"""The server that each case breaks: how it is started, and its settings."""
