"""systemd takes the unit, and finds nothing to worry about in what the service may do."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

UNIT = Path(__file__).parents[2] / "deploy" / "systemd" / "swin-embed.service"
MOST_EXPOSED = 2.0  # of 10; what systemd calls "OK" is below 5, what it calls "SAFE" below 1

pytestmark = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd")


def test_systemd_takes_the_unit(tmp_path):
    """On a machine on which the command is another."""
    here = tmp_path / UNIT.name
    here.write_text(UNIT.read_text().replace("/opt/swin-embed/bin/swin-embed", sys.executable))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(here)], capture_output=True, text=True
    )
    ours = [line for line in done.stderr.splitlines() if UNIT.name in line]
    assert (done.returncode, ours) == (0, []), done.stderr


def test_the_service_may_do_little():
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--json=short", str(UNIT)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    exposed = sum(float(row["exposure"] or 0) for row in json.loads(done.stdout))
    assert exposed <= MOST_EXPOSED, done.stdout
