"""What can become of an option, and the reasons why one changes no embedding."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Only:
    """An option that must have one of some values; the first is the library's default.

    `instead` is what to do about another one, if that can be said.
    """

    values: tuple[Any, ...]
    instead: str = ""

    @property
    def text(self) -> str:
        """What the exporter does with it."""
        return "must be " + " or ".join(f"`{value}`" for value in self.values)


@dataclass(frozen=True)
class Read:
    """An option that the exporter follows."""

    text: str


@dataclass(frozen=True)
class Harmless:
    """An option that changes no embedding."""

    reason: str

    @property
    def text(self) -> str:
        """What the exporter does with it."""
        return f"changes nothing: {self.reason}"


Options = dict[str, Only | Read | Harmless]


def harmless(reason: str, *names: str) -> Options:
    """Some options that change nothing for one reason."""
    return dict.fromkeys(names, Harmless(reason))


TRAINING = "acts in training only"
HEAD = "of the classifier, which embeddings do not pass"
RECORD = "says where the weights come from"
OTHERS = "of other kinds of model"
MEMORY = "changes time and memory, not results"

CHECKED = Read("must agree with the tensors")
