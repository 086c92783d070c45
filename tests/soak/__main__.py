"""`python -m tests.soak`: mixed traffic against the real server, into one picture; `make soak`.

Every door, sizes from thumbnails to phone photos, bad and hostile inputs, clients that leave. Exit
status 1 if there was a wrong answer, a lost connection, or resident memory grew by a MiB a minute
or more after the fifth minute.
"""

import argparse
import json
import os
import sys
import time
import urllib.request
from collections import Counter
from pathlib import Path

import numpy as np

from tests.hostile.attack import resident_mib
from tests.soak.picture import Reading, draw, slope_mib_per_min
from tests.soak.traffic import Clients, Tally
from tests.support.process import SOON, running

EVERY_S = 10.0
GROWTH_MIB_PER_MIN = 1.0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--model", default=os.environ.get("SWIN_MODEL"))
    parser.add_argument("--output", type=Path, default=Path("soak.png"))
    asked = parser.parse_args()
    errors: Counter[str] = Counter()
    readings: list[Reading] = []
    with running(model=asked.model) as (process, address):
        clients = Clients(address, _model(address), asked.clients)
        began = time.monotonic()
        while (minutes := (time.monotonic() - began) / 60) < asked.minutes:
            time.sleep(EVERY_S)
            tally = clients.take()
            errors.update(tally.errors)
            if tally.errors:
                print(f"{minutes:.1f} min: {tally.errors}", flush=True)
            readings.append(_read(process.pid, address, minutes, tally))
            draw(readings, asked.output)
        clients.stop()
        alive = process.poll() is None
    slope = slope_mib_per_min(readings)
    requests = sum(one.requests for one in readings)
    print(f"{requests} requests in {minutes:.1f} minutes; wrong answers: {dict(errors) or 'none'}")
    print(f"resident memory {readings[-1].resident_mib:.0f} MiB, settled {slope:+.2f} MiB/min")
    print(f"drawn in {asked.output}; server alive: {alive}")
    return 0 if alive and not errors and not slope >= GROWTH_MIB_PER_MIN else 1


def _read(process: int, address: str, minutes: float, tally: Tally) -> Reading:
    with urllib.request.urlopen(f"{address}/metrics", timeout=SOON) as response:
        lines = response.read().decode().splitlines()
    depth = next(float(line.split()[1]) for line in lines if line.startswith("swin_queue_depth "))
    return Reading(
        minutes=minutes,
        resident_mib=resident_mib(process),
        queue_depth=depth,
        p99_ms=float(np.percentile(tally.latencies or [np.nan], 99)) * 1000,
        errors=len(tally.errors),
        requests=tally.requests,
    )


def _model(address: str) -> str:
    with urllib.request.urlopen(f"{address}/v1/models", timeout=SOON) as response:
        name: str = json.loads(response.read())["data"][0]["id"]
        return name


if __name__ == "__main__":
    sys.exit(main())
