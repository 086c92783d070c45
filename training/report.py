"""Scores as a table and as a picture."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from training.alterations import ALTERATIONS


@dataclass(frozen=True)
class Scores:
    """What one method reached.

    Attributes:
        copies: Recall@1 by alteration and strength.
        copies_map: Mean average precision over all copies; each has one right answer.
        crops: Recall@1 of another crop of the same photo.
        crops_map: Mean average precision of the other crops of the same photo.
        digits: Accuracy of the five nearest digits.
        meaning: What says whether alike things are near: a figure by the name of its column.
    """

    copies: dict[tuple[str, int], float]
    copies_map: float
    crops: float
    crops_map: float
    digits: float
    meaning: dict[str, float]

    @property
    def recall(self) -> float:
        """Mean copy-detection recall@1 over all alterations and strengths."""
        return float(np.mean(list(self.copies.values())))


def table(scores: Mapping[str, Scores]) -> str:
    """Two Markdown tables, in percent: the suites, then copy detection by alteration."""
    named = next(iter(scores.values())).meaning if scores else {}
    head = ("copies R@1", "copies mAP", "crops R@1", "crops mAP", "digits 5-NN", *named)
    lines = [f"| method | {' | '.join(head)} |", "| --- |" + " ---: |" * len(head)]
    for name, score in scores.items():
        suites = (score.recall, score.copies_map, score.crops, score.crops_map, score.digits)
        values = (*suites, *score.meaning.values())
        lines.append(f"| {name} | {' | '.join(f'{100 * value:.1f}' for value in values)} |")
    lines += ["", f"| copies R@1 | {' | '.join(ALTERATIONS)} |"]
    lines.append("| --- |" + " ---: |" * len(ALTERATIONS))
    for name, score in scores.items():
        cells = (
            " / ".join(f"{100 * score.copies[kind, strength]:.0f}" for strength in range(3))
            for kind in ALTERATIONS
        )
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def plot(scores: Mapping[str, Scores], output: Path) -> None:
    """Copy-detection recall@1 by alteration, the mean of its strengths: a group of bars each."""
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    axis = figure.subplots()
    kinds = [*ALTERATIONS, "mean"]
    width = 0.85 / len(scores)
    for i, (name, score) in enumerate(scores.items()):
        values = [float(np.mean([score.copies[kind, s] for s in range(3)])) for kind in ALTERATIONS]
        places = np.arange(len(kinds)) + (i - (len(scores) - 1) / 2) * width
        axis.bar(places, [100 * v for v in (*values, score.recall)], width, label=name)
    axis.set_xticks(np.arange(len(kinds)), kinds)
    axis.set_ylabel("recall@1, %")
    axis.set_ylim(0, 100)
    axis.legend(ncols=5, loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False)
    figure.savefig(output, dpi=110)
