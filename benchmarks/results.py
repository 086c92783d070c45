"""What was measured so far, in a file, so that pieces can be measured one at a time."""

import json
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("results.json")


def read() -> dict[str, Any]:
    """All pieces, each a mapping from a row's name to what was measured."""
    return json.loads(FILE.read_text()) if FILE.exists() else {}


def add(piece: str, measured: dict[str, Any]) -> None:
    """Keep a piece's rows, in place of older ones of the same names; of servers, each by itself."""
    kept = read()
    rows = kept.setdefault(piece, {})
    for name, row in measured.items():
        if isinstance(row, dict) and "servers" in row:
            row = row | {"servers": rows.get(name, {}).get("servers", {}) | row["servers"]}
        rows[name] = row
    FILE.write_text(json.dumps(kept, indent=1) + "\n")
