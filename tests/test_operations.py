"""docs/operations.md names every metric there is, and no other."""

import re
from pathlib import Path

from service.observability.metrics import Metrics

ROOT = Path(__file__).parents[1]
OF_OTHERS = ("service/observability/nvml.py", "service/server/workers/supervisor.py")
"""Where metrics are made that a process has only with GPUs, or with workers."""


def family(name: str, kind: str) -> str:
    return name + {"counter": "_total", "info": "_info"}.get(kind, "")


def test_operations_has_a_line_for_every_metric():
    made = {family(one.name, one.type) for one in Metrics().registry.collect()}
    for path in OF_OTHERS:
        source = (ROOT / path).read_text()
        made |= {
            family(name, kind.lower())
            for kind, name in re.findall(r"(Counter|Gauge)\w*\(\s*\"(\w+)\"", source)
        }
    page = (ROOT / "docs" / "operations.md").read_text()
    section = page.partition("### Every metric")[2].partition("\n## ")[0]
    cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    told = [name for cell in cells for name in re.findall(r"`(\w+)`", cell)]
    assert sorted(told) == sorted(name for name in made if name.startswith("swin_"))
