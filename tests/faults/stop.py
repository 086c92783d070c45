"""`python -m tests.faults.stop`: SIGTERM under load, again and again; what becomes of requests."""

import argparse
import http.client
import os
import signal
import sys
import threading
import time
import urllib.parse
from collections import Counter
from dataclasses import dataclass, field

from tests.support.images import jpeg
from tests.support.process import SOON, running

BUSY_S = 0.5


@dataclass
class Stopped:
    """What clients saw while a service was told to stop, and how it ended.

    Attributes:
        answers: by status.
        refused: connections that could not be had, one a client at the end.
        lost: requests that were sent and never answered.
        seconds: from the signal to the end of the process.
        exit_status: of the process.
    """

    answers: Counter[int] = field(default_factory=Counter)
    refused: int = 0
    lost: int = 0
    seconds: float = 0
    exit_status: int | None = None


def stop_under_load(clients: int, **settings: object) -> Stopped:
    """Have clients post photos, half of them over one connection each, until it is gone."""
    stopped = Stopped()
    lock = threading.Lock()
    image = jpeg("coffee")
    with running(**settings) as (process, address):
        host = urllib.parse.urlsplit(address).netloc
        threads = [
            threading.Thread(target=_client, args=(host, image, stopped, lock, number % 2))
            for number in range(clients)
        ]
        for thread in threads:
            thread.start()
        time.sleep(BUSY_S)
        process.send_signal(signal.SIGTERM)
        told = time.monotonic()
        stopped.exit_status = process.wait(SOON)
        stopped.seconds = time.monotonic() - told
        for thread in threads:
            thread.join()
    return stopped


def _client(host: str, image: bytes, stopped: Stopped, lock: threading.Lock, keeps: int) -> None:
    connection = http.client.HTTPConnection(host, timeout=SOON)
    connection.auto_open = 0
    headers = {"Content-Type": "image/jpeg"}
    while True:
        try:
            if connection.sock is None:
                connection.connect()
        except OSError:
            with lock:
                stopped.refused += 1
            return
        try:
            connection.request("POST", "/embed", image, headers)
            answer = connection.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException):
            with lock:
                stopped.lost += 1
            connection.close()
            continue
        with lock:
            stopped.answers[answer.status] += 1
        if not keeps:
            connection.close()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.stop")
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--drain-seconds", type=float, default=0)
    parser.add_argument("--model", default=os.environ.get("SWIN_MODEL"))
    asked = parser.parse_args()
    settings = {"model": asked.model, "drain_seconds": asked.drain_seconds}
    lost, amiss = 0, 0
    for number in range(1, asked.times + 1):
        stopped = stop_under_load(asked.clients, **settings)
        print(f"{number}: {stopped}", flush=True)
        lost += stopped.lost
        amiss += stopped.exit_status != 0 or set(stopped.answers) != {200}
    print(f"{asked.times} stops under {asked.clients} clients: {lost} requests lost, {amiss} amiss")
    return 1 if lost or amiss else 0


if __name__ == "__main__":
    sys.exit(main())
