"""`python -m tests.faults`: the table of faults in docs/security.md, as measured."""

import argparse
import os

from tests.faults import server, trial


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.faults")
    parser.add_argument("--model", default=os.environ.get("SWIN_MODEL"))
    asked = parser.parse_args()
    print("| Fault | Its client | Others | Metrics | Then | s |")
    print("| --- " * 6 + "|")
    for fault in server.GREYS:
        with trial.faulty(model=asked.model) as started:
            print(_row(fault, trial.meet(fault, *started)), flush=True)
    for fault in server.DECODE:
        with trial.faulty("ahead", model=asked.model) as started:
            print(_row(f"{fault}, ahead", trial.meet(fault, *started)), flush=True)


def _row(fault: str, seen: trial.Seen) -> str:
    client = f"{seen.status} `{seen.code}`" if seen.status else "connection lost"
    others = ", ".join(
        f"{count} x {status or 'lost'}" for status, count in sorted(seen.beside.items())
    )
    metrics = ", ".join(f"`{name}` {value:+g}" for name, value in seen.metrics.items())
    then = "serves on" if seen.ended is None else f"exit status {seen.ended}"
    return f"| {fault} | {client} | {others} | {metrics} | {then} | {seen.seconds:.2f} |"


if __name__ == "__main__":
    main()
