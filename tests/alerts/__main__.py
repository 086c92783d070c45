"""`python -m tests.alerts --trained FILE`: every alert fired by a real Prometheus, and ended.

Each fault is brought about in a service of its own, scraped by a Prometheus that runs
docker/rules.yml with every window and every `for` divided by FACTOR. Prints a table: the alert,
seconds until it fired and, once what its runbook says was done, until it ended. Eight minutes.
"""

import argparse
import contextlib
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import yaml

from model_export.checkpoints.seeded import seeded
from model_export.export import export
from tests.alerts import cases, prometheus
from tests.alerts.service import Service
from tests.support.small_model import SMALL_MODEL

FACTOR = 60
PATIENCE_S = 200
AT_ONCE = 3
LONG_S = 420  # what is foretold of memory is foretold from a process of six hours
PORT = 18400

RULES = yaml.safe_load((prometheus.ROOT / "docker" / "rules.yml").read_text())
ALERTS = [
    (rule["alert"], rule["labels"]["severity"])
    for group in RULES["groups"]
    for rule in group["rules"]
    if "alert" in rule
]


def runbook(alert: str) -> str:
    """The first sentence of an alert's section in docs/operations.md."""
    page = (prometheus.ROOT / "docs" / "operations.md").read_text()
    section = page.partition(f"### {alert}\n")[2].partition("\n#")[0]
    return " ".join(section.split()).partition(". ")[0]


def meet(case: cases.Breaks, service: Service, watched: prometheus.Prometheus) -> list[str]:
    """Bring a fault about, wait for its alerts, mend it, wait for their end; a row for each."""
    name = case.__name__
    service.start()
    while watched.firing(job(name)):  # as it was down until now
        time.sleep(0.1)
    fault = case(service)
    expected = next(fault)
    began = time.monotonic()
    wanted = [one for one in ALERTS if one[0] in expected]
    fired: dict[tuple[str, str], float] = {}
    patience = LONG_S + PATIENCE_S if case is cases.leaking else PATIENCE_S
    while len(fired) < len(wanted) and time.monotonic() - began < patience:
        for one in set(wanted) & watched.firing(job(name)) - fired.keys():
            fired[one] = time.monotonic() - began
        time.sleep(0.1)
    mending = threading.Thread(target=lambda: next(fault, None))
    mending.start()
    began = time.monotonic()
    ended: dict[tuple[str, str], float] = {}
    while len(ended) < len(fired) and time.monotonic() - began < PATIENCE_S:
        for one in fired.keys() - watched.firing(job(name)) - ended.keys():
            ended[one] = time.monotonic() - began
        time.sleep(0.1)
    mending.join()
    service.kill()
    return [
        f"| {alert} ({severity}) | {name} | {seconds(fired.get((alert, severity)))} "
        f"| {seconds(ended.get((alert, severity)))} | {runbook(alert)} |"
        for alert, severity in wanted
    ]


def seconds(measured: float | None) -> str:
    """Seconds, or that there are none."""
    return "never" if measured is None else f"{measured:.1f}"


def job(case: str) -> str:
    """The job by which a case's service is scraped."""
    return "swin-embed-" + case.replace("_", "-")


@contextlib.contextmanager
def services(folder: Path, trained: Path, asked: list[str]) -> Iterator[dict[str, Service]]:
    """A service for each case, none started yet; all that run are killed at the end."""
    small = folder / "small.onnx"
    export(SMALL_MODEL, seeded(SMALL_MODEL.architecture), small)
    made = {}
    for number, (case, (program, settings)) in enumerate(cases.CASES.items()):
        name = case.__name__
        if not asked or name in asked:
            model = folder / f"{name}.onnx"
            shutil.copy(small, model)
            made[name] = Service(PORT + number, model, program, trained=trained, **settings)
    try:
        yield made
    finally:
        for service in made.values():
            service.kill()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.alerts", description=__doc__)
    parser.add_argument("--trained", type=Path, required=True, help="an artifact that is trained")
    parser.add_argument("cases", nargs="*", help="of tests/alerts/cases.py; all without any")
    options = parser.parse_args()
    print(f"windows and waits divided by {FACTOR}")
    print("| Alert | fault | fired after, s | ended after, s | runbook |")
    print("| --- " * 5 + "|", flush=True)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        made = stack.enter_context(services(folder, options.trained, options.cases))
        targets = {job(name): service.port for name, service in made.items()}
        watched = stack.enter_context(prometheus.running(targets, FACTOR, folder, PORT - 1))
        threads = stack.enter_context(ThreadPoolExecutor(AT_ONCE))
        meetings = [
            threads.submit(meet, case, made[case.__name__], watched)
            for case in cases.CASES
            if case.__name__ in made
        ]
        for meeting in meetings:
            print("\n".join(meeting.result()), flush=True)


if __name__ == "__main__":
    main()
