"""Writes prometheusrule.yaml beside it: docker/rules.yml for the operator."""

from pathlib import Path
from textwrap import indent

HERE = Path(__file__).parent
RULES = HERE.parents[3] / "docker" / "rules.yml"

HEAD = """\
# Written by prometheusrule.py from docker/rules.yml.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: swin-embed
spec:
"""


def text() -> str:
    """The PrometheusRule."""
    return HEAD + indent(RULES.read_text(), "  ")


if __name__ == "__main__":
    (HERE / "prometheusrule.yaml").write_text(text())
