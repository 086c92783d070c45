"""What `make bench` keeps and prints."""

import json
import subprocess
import sys

import pytest

from benchmarks import report, results


def row(images_per_s: float, clients: tuple[str, ...] = ("1",)) -> dict:
    one = {"images_per_s": images_per_s, "p50_ms": 1, "p99_ms": 2, "wrong": 0}
    return {"clients": dict.fromkeys(clients, one), "ready_s": 1, "resident_mb": 200}


@pytest.fixture
def file(tmp_path, monkeypatch):
    path = tmp_path / "results.json"
    monkeypatch.setattr(results, "FILE", path)
    return path


def test_a_run_without_peers_keeps_their_rows(file):
    ceiling = {"a stream a core": 20.0}
    servers = {"swin-embed": row(10, ("1", "8")), "peer": row(5, ("1", "8"))}
    results.add("served", {"int8": {"ceiling": ceiling, "servers": servers}})
    results.add("served", {"int8": {"ceiling": ceiling, "servers": {"swin-embed": row(11)}}})
    kept = json.loads(file.read_text())["served"]["int8"]["servers"]
    assert list(kept) == ["swin-embed", "peer"]
    (table,) = report.tables(results.read(), ["served", "photo"])
    assert "| swin-embed | 11.0, 1 / 2 | not measured |" in table
    assert "| peer | 5.0, 1 / 2 | 5.0, 1 / 2 |" in table


def test_the_page_is_written_only_when_asked_for(file, monkeypatch, tmp_path, capsys):
    from benchmarks import __main__

    page = tmp_path / "performance.md"
    monkeypatch.setattr(report, "PAGE", page)
    monkeypatch.setattr(report, "PLOT", page.with_suffix(".png"))
    results.add("photo", {"exact": 30.0, "fast": 12.5})
    monkeypatch.setattr(sys, "argv", ["benchmarks", "report"])
    __main__.main()
    assert "| fast | 12.5 |" in capsys.readouterr().out
    assert not page.exists()
    monkeypatch.setattr(sys, "argv", ["benchmarks", "report", "--page"])
    __main__.main()
    assert "| fast | 12.5 |" in page.read_text()


def test_git_ignores_what_was_measured():
    done = subprocess.run(
        ["git", "check-ignore", "-q", "benchmarks/results.json"], cwd=results.FILE.parents[1]
    )
    assert done.returncode == 0
