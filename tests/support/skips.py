"""Why a test may be skipped. With `--known-skips` any other skip fails the run; all are listed."""

from collections import Counter

import pytest

KNOWN = {
    "needs make setup-scale": "an object store, vector engines and Ray take minutes to install",
    "needs make setup-frameworks": "a gigabyte of packages, whose imports take many seconds each",
    "Pillow does not read it": "the refusal of these kinds of TIFF has a test of its own",
    "needs kubectl to render": "no registry that CI reaches has it",
}
"""A part of the reason that pytest prints, and why that is accepted."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--known-skips", action="store_true", help="fail on a skip not in KNOWN")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    config = terminalreporter.config
    if not config.getoption("--known-skips"):
        return
    reasons = Counter(str(skip.longrepr[2]) for skip in terminalreporter.stats.get("skipped", []))
    terminalreporter.section("skipped, and why that is accepted")
    for reason, count in reasons.items():
        why = next((why for part, why in KNOWN.items() if part in reason), None)
        terminalreporter.line(f"{count} {reason}: {why or 'UNKNOWN: install it, or say why not'}")


def pytest_sessionfinish(session: pytest.Session) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or not session.config.getoption("--known-skips"):
        return
    skips = [str(skip.longrepr[2]) for skip in reporter.stats.get("skipped", [])]
    if any(not any(part in reason for part in KNOWN) for reason in skips):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
