"""`make help` tells what there is."""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_help_has_a_line_for_each_target():
    phony = re.search(r"^\.PHONY: (help .*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    done = subprocess.run(
        ["make", "--no-print-directory", "help"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    told = [line.split()[1] for line in done.stdout.splitlines()]
    assert sorted(["help", *told]) == sorted(phony[1].split())
