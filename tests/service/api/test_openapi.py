"""schemathesis over all of the OpenAPI document, every check, against the real server."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.process import ROOT, running

CLI = Path(sys.executable).with_name("schemathesis")
HOOKS = {"SCHEMATHESIS_HOOKS": "tests.support.image_strategies", "PYTHONPATH": str(ROOT)}


@pytest.mark.slow
def test_the_doors_keep_to_their_description(artifact, tmp_path):
    with running(model=artifact) as (_, address):
        done = subprocess.run(
            [CLI, "run", f"{address}/openapi.json", "--checks=all", "-n", "3", "--seed=1"],
            env=os.environ | HOOKS,
            cwd=tmp_path,  # it leaves a cache where it runs
            capture_output=True,
            text=True,
        )
    assert done.returncode == 0, done.stdout
    assert "No issues found" in done.stdout
