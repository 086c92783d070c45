"""docs/security.md names, for each threat, a test that there is."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NAMED = sorted(
    set(
        re.findall(
            r"`((?:\w+/)*test_\w+\.py)(?:::(\w+))?`", (ROOT / "docs" / "security.md").read_text()
        )
    )
)


@pytest.mark.parametrize(("path", "function"), NAMED)
def test_the_tests_it_names_are_there(path, function):
    code = (ROOT / "tests" / path).read_text()
    assert not function or f"def {function}(" in code
