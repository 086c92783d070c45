"""What a checkpoint dialect is: for every canonical tensor, the tensors of a file that make it."""

import re
from dataclasses import dataclass, field
from functools import cached_property

from model_export.network.architecture import Architecture
from model_export.network.parameters import shapes

Names = dict[str, str]
Thirds = dict[str, tuple[str | None, str | None, str | None]]

BLOCK = "stages.{stage}.blocks.{block}"


def in_blocks(theirs: str, names: Names) -> Names:
    """Names of the parts of a block, with the block's own name in front on both sides."""
    return {BLOCK: theirs} | {f"{BLOCK}.{ours}": f"{theirs}.{name}" for ours, name in names.items()}


def _templates(version: int) -> list[str]:
    """Canonical names of all tensors of a version, with `{stage}` and `{block}` for numbers."""
    two_stages = Architecture("", 8, 1, (1, 1), (1, 1), (1, 1), version=2 if version == 2 else 1)
    return list(dict.fromkeys(map(_template, shapes(two_stages))))


def _template(canonical: str) -> str:
    template = re.sub(r"^stages\.\d+", "stages.{stage}", canonical)
    return re.sub(r"\.blocks\.\d+", ".blocks.{block}", template)


@dataclass(frozen=True)
class Dialect:
    """How one library names the parts of a Swin Transformer.

    Attributes:
        name: What to call it.
        parts: Canonical parts and theirs. `{stage}` and `{block}` count from 0; `{before}` is the
            stage before, `{even}` and `{odd}` are 2 `{stage}` and 2 `{stage}` + 1.
        split: By version of Swin: tensors of attention that lie there in three, for query, key and
            value, and the names of the three. None stands for zeros.
        stage_norms: Name of the LayerNorm of a stage, `{stage}` from 0 or `{nth}` from 1, where the
            file is of a backbone: each feature map has a norm, in place of the one at the end.
        v2_mask_value: What V2's shifted windows add to scores of pairs that the shift brought
            together, if not the paper's -100.
        unfolds: Patch merging concatenates pixels channel by channel, as torch's Unfold does.
        flat_index: `relative_position_index` is stored flat, [N * N].
        makes_index: The library makes `relative_position_index` anew and does not load it; some of
            its versions have saved it before it was filled in.
    """

    name: str
    parts: Names
    split: dict[int, Thirds] = field(default_factory=dict)
    stage_norms: str | None = None
    v2_mask_value: float | None = None
    unfolds: bool = False
    flat_index: bool = False
    makes_index: bool = False

    def sources(self, canonical: str, version: int) -> tuple[str | None, ...]:
        """The tensors of a file that make a canonical one, one after the other; None is zeros."""
        places = [int(number) for number in re.findall(r"\.(\d+)(?=\.)", canonical)]
        stage, block = (*places, 0, 0)[:2]
        numbers = {"stage": stage, "block": block, "before": stage - 1}
        numbers |= {"even": 2 * stage, "odd": 2 * stage + 1}
        named = self._sources(_template(canonical), version)
        return tuple(name and name.format(**numbers) for name in named)

    def canonical(self, name: str) -> tuple[str, str] | None:
        """Prefix of a file's name and the canonical tensor that it is a part of; None if of none.

        Where the name can be understood in several ways, the prefix is the shortest.
        """
        parts = name.split(".")
        for start in range(len(parts)):
            rest = parts[start:]
            key = ".".join("#" if part.isdecimal() else part for part in rest)
            for pattern, template in self._patterns.get(key, ()):
                if match := pattern.fullmatch(".".join(rest)):
                    numbers = {k: int(n) for k, n in match.groupdict().items() if len(n) < 5}
                    stage = numbers.get("stage", -1)
                    stage = max(stage, numbers.get("before", -2) + 1, numbers.get("odd", -1) // 2)
                    stage = max(stage, numbers.get("even", -1) // 2)
                    prefix = "".join(f"{part}." for part in parts[:start])
                    return prefix, template.format(stage=stage, block=numbers.get("block", 0))
        return None

    def roots(self) -> set[str]:
        """First components of all names of the network."""
        return {theirs.partition(".")[0] for theirs in self.parts.values()}

    @cached_property
    def _patterns(self) -> dict[str, list[tuple[re.Pattern[str], str]]]:
        """How their names look, by the same with # for numbers, and the canonical templates."""
        found: dict[str, list[tuple[re.Pattern[str], str]]] = {}
        for version in (1, 2):
            for template in _templates(version):
                for name in self._sources(template, version):
                    if name is not None:
                        key = re.sub(r"(?<![^.])(\{\w+\}|\d+)(?![^.])", "#", name)
                        pattern = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>\\d+)", re.escape(name))
                        found.setdefault(key, []).append((re.compile(pattern), template))
        return found

    def _sources(self, template: str, version: int) -> tuple[str | None, ...]:
        start, _, tensor = template.partition(".attention.")
        thirds = self.split.get(version, {}).get(tensor)
        if thirds is None:
            return (self._named(template),)
        attention = self._named(f"{start}.attention")
        return tuple(third and f"{attention}.{third}" for third in thirds)

    def _named(self, template: str) -> str:
        """A canonical name in their words: the longest part of it that they have a name for."""
        for end in range(len(template), 0, -1):
            if template[:end] in self.parts and template[end : end + 1] in ("", "."):
                return self.parts[template[:end]] + template[end:]
        return template
