"""A Prometheus that runs the rules of docker/rules.yml in fast motion."""

import contextlib
import json
import re
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
SCRAPE_S, EVALUATE_S = 0.5, 0.25


def faster(rules: dict[str, Any], factor: float) -> dict[str, Any]:
    """The rules with every window and every `for` divided; thresholds and ages of runs stay."""

    def shorter(duration: str) -> str:
        return f"{max(1, round(int(duration[:-1]) * UNITS[duration[-1]] * 1000 / factor))}ms"

    def in_query(query: str) -> str:
        query = re.sub(
            r"(\[|offset )(\d+[smhd])\b", lambda found: found[1] + shorter(found[2]), query
        )
        return re.sub(  # how far ahead memory is foretold, and from which age on
            r"\b(86400|21600)\b", lambda found: f"{int(found[1]) / factor:g}", query
        )

    for group in rules["groups"]:
        group["interval"] = f"{EVALUATE_S * 1000:.0f}ms"
        for rule in group["rules"]:
            rule["expr"] = in_query(rule["expr"])
            if "for" in rule:
                rule["for"] = shorter(rule["for"])
    return rules


class Prometheus:
    """Asks a running Prometheus."""

    def __init__(self, port: int) -> None:
        self._address = f"http://127.0.0.1:{port}/api/v1"

    def firing(self, job: str) -> set[tuple[str, str]]:
        """Name and severity of the alerts that fire for a job."""
        return {
            (one["labels"]["alertname"], one["labels"]["severity"])
            for one in self._ask("alerts")["alerts"]
            if one["state"] == "firing" and one["labels"]["job"] == job
        }

    def query(self, text: str) -> list[dict[str, Any]]:
        """What an instant query gives."""
        found: list[dict[str, Any]] = self._ask("query?" + urllib.parse.urlencode({"query": text}))[
            "result"
        ]
        return found

    def _ask(self, what: str) -> dict[str, Any]:
        with urllib.request.urlopen(f"{self._address}/{what}", timeout=30) as answer:
            data: dict[str, Any] = json.load(answer)["data"]
        return data


@contextlib.contextmanager
def running(
    targets: Mapping[str, int], factor: float, folder: Path, port: int
) -> Iterator[Prometheus]:
    """Prometheus, which scrapes ports by the names of their jobs."""
    rules = faster(yaml.safe_load((ROOT / "docker" / "rules.yml").read_text()), factor)
    (folder / "rules.yml").write_text(yaml.safe_dump(rules))
    scraped = [
        {"job_name": job, "static_configs": [{"targets": [f"127.0.0.1:{one}"]}]}
        for job, one in targets.items()
    ]
    settings = {
        "global": {
            "scrape_interval": f"{SCRAPE_S * 1000:.0f}ms",
            "scrape_timeout": f"{SCRAPE_S * 1000:.0f}ms",
            "evaluation_interval": f"{EVALUATE_S * 1000:.0f}ms",
        },
        "rule_files": ["rules.yml"],
        "scrape_configs": scraped,
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump(settings))
    process = subprocess.Popen(
        [
            "prometheus",
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--log.level=warn",
        ]
    )
    asked = Prometheus(port)
    try:
        while True:
            with contextlib.suppress(OSError):
                asked.query("up")
                break
            assert process.poll() is None
            time.sleep(0.1)
        yield asked
    finally:
        process.terminate()
        process.wait()
