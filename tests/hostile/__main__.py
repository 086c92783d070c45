"""`python -m tests.hostile`: hostile images and text against the real server; `make hostile`.

Text goes to a server without keys and to one that asks for them: bodies of each HTTP door and gRPC
messages, large ones of every kind, then small broken ones, and a good photo after every 25th.

Exit status 1 if there was a 5xx (of text, but 503), a broken connection, an answer to an image
later than 5 s, a good photo whose vector changed, or more resident memory at the end than 15% over
that after warm-up (10% with text).
"""

import argparse
import os
import sys
import time

from tests.hostile.attack import Attack, resident_mib
from tests.hostile.corpus import samples
from tests.hostile.text import attack
from tests.support.images import jpeg
from tests.support.process import running

WARM_UP = 2000
LONGEST_S = 5.0
GROWTH = 1.15


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.hostile")
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--texts", type=int, default=6000, help="half of them with keys")
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--model", default=os.environ.get("SWIN_MODEL"))
    asked = parser.parse_args()
    kept = [_images(asked)] if asked.images else []
    for key in (None, "secret") if asked.texts else ():
        lines, well = attack(asked.model, asked.seed, asked.texts // 2, key)
        print("", *lines, sep="\n", flush=True)
        kept.append(well)
    return 0 if all(kept) else 1


def _images(asked: argparse.Namespace) -> bool:
    corpus = samples(asked.seed)
    with running(model=asked.model) as (process, address):
        sender = Attack(address, jpeg("astronaut"))
        started = time.monotonic()
        sender.run(corpus, WARM_UP, asked.clients)
        warm = resident_mib(process.pid)
        sender.run(corpus, asked.images - WARM_UP, asked.clients)
        end = resident_mib(process.pid)
        alive = process.poll() is None
        seconds = time.monotonic() - started
    report = sender.report
    statuses = report.statuses()
    broken = [f"{kind}: {status}" for kind, status in report.answers if status >= 500 or not status]
    print(f"{asked.images} images in {seconds:.0f} s; answers {dict(sorted(statuses.items()))}")
    print(f"longest {report.longest_s:.2f} s ({report.longest}); server alive: {alive}")
    print(f"{report.photos} good photos, {len(report.vectors)} distinct vectors")
    print(f"resident memory {warm:.0f} MiB after warm-up, {end:.0f} MiB at the end")
    print(f"5xx or broken connections: {broken or 'none'}")
    kept = report.longest_s <= LONGEST_S and len(report.vectors) == 1 and end <= GROWTH * warm
    return alive and kept and not broken


if __name__ == "__main__":
    sys.exit(main())
