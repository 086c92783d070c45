"""What a checkpoint dialect is: for every canonical tensor, the tensors of a file that make it."""

import re
from collections.abc import Collection
from dataclasses import dataclass, field

Names = dict[str, str]

BLOCK = "stages.{stage}.blocks.{block}"


def in_blocks(theirs: str, names: Names) -> Names:
    """Names of the parts of a block, with the block's own name in front on both sides."""
    return {f"{BLOCK}.{ours}": f"{theirs}.{name}" for ours, name in names.items()}


@dataclass(frozen=True)
class Dialect:
    """How one library names the parts of a Swin Transformer.

    Attributes:
        name: What to call it.
        parts: Canonical parts and theirs. `{stage}` and `{block}` count from 0; `{before}` is the
            stage before, `{even}` and `{odd}` are 2 `{stage}` and 2 `{stage}` + 1.
        split: Tensors of attention that may lie there in three, and what the three are called.
            None stands for zeros, and so does a name that ends in `?` and is not there.
        v2_seam: What V2's shifted windows add to scores across the seam, if not the paper's -100.
    """

    name: str
    parts: Names
    split: dict[str, tuple[str | None, str | None, str | None]] = field(default_factory=dict)
    v2_seam: float | None = None

    def sources(self, canonical: str, found: Collection[str]) -> tuple[str | None, ...]:
        """The tensors, of those found in a file, that make a canonical one, one after the other."""
        places = [int(number) for number in re.findall(r"\.(\d+)(?=\.)", canonical)]
        template = re.sub(r"^stages\.\d+", "stages.{stage}", canonical)
        template = re.sub(r"\.blocks\.\d+", ".blocks.{block}", template)
        stage, block = (*places, 0, 0)[:2]
        numbers = {"stage": stage, "block": block, "before": stage - 1}
        numbers |= {"even": 2 * stage, "odd": 2 * stage + 1}
        whole = self._named(template).format(**numbers)
        start, _, tensor = template.partition(".attention.")
        if tensor not in self.split or whole in found:
            return (whole,)
        attention = self._named(f"{start}.attention").format(**numbers)
        thirds = []
        for third in self.split[tensor]:
            name = third and f"{attention}.{third.removesuffix('?')}"
            optional = third is not None and third.endswith("?")
            thirds.append(None if optional and name not in found else name)
        return tuple(thirds)

    def roots(self) -> set[str]:
        """First components of all names of the network."""
        return {theirs.partition(".")[0] for theirs in self.parts.values()}

    def _named(self, template: str) -> str:
        """A canonical name in their words: the longest part of it that they have a name for."""
        for end in range(len(template), 0, -1):
            if template[:end] in self.parts and template[end : end + 1] in ("", "."):
                return self.parts[template[:end]] + template[end:]
        return template
