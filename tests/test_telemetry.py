"""Nothing we run reports to anyone: onnxruntime's telemetry is off before it is imported."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def files_written_at_home(code: str, home: Path) -> list[str]:
    """Run `code` as a user would, not as a test or CI, where onnxruntime keeps quiet by itself."""
    subprocess.run(
        [sys.executable, "-c", code],
        env={"HOME": str(home), "PATH": os.environ["PATH"]},
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    return [str(path.relative_to(home)) for path in home.rglob("*") if path.is_file()]


@pytest.mark.parametrize("module", ["service.engine.model", "model_export.verify"])
def test_no_device_identifier_is_made(tmp_path, module):
    assert files_written_at_home(f"import {module}", tmp_path) == []
