"""The metrics of several processes as those of one service.

prometheus_client's own way for several processes (files that they map) has no Info, no gauges that
are asked for their value, no collectors such as that of the process, and no exemplars.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from prometheus_client.core import Metric
from prometheus_client.samples import Sample

Whose = Literal["engine", "workers", "all"]
Key = tuple[str, tuple[tuple[str, str], ...]]

COUNTS = ("counter", "histogram")
"""Types whose samples only grow: they keep what ended processes have counted."""


@dataclass(frozen=True)
class Rule:
    """The processes whose samples make up a family, and the function that combines them."""

    whose: Whose
    take: Callable[[Iterable[float]], float] = sum


ENGINE = Rule("engine")

RULES = {
    # Known where the model runs.
    "swin_batch_size": ENGINE,
    "swin_inference_runs": ENGINE,
    "swin_inference_streams": ENGINE,
    "swin_inference_streams_busy": ENGINE,
    "swin_inference_longest_run_seconds": ENGINE,
    "swin_model": ENGINE,
    "swin_model_load_duration_seconds": ENGINE,
    "swin_model_reloads": ENGINE,
    "swin_start_duration_seconds": ENGINE,
    "process_start_time_seconds": ENGINE,
    "python_info": ENGINE,
    # Images and requests that wait, and limits on them.
    "swin_requests_in_flight": Rule("workers"),
    "swin_decode_depth": Rule("workers"),
    "swin_queue_depth": Rule("workers"),
    "swin_queue_capacity": Rule("workers"),
    "swin_memory_budget_bytes": Rule("workers"),
    "swin_memory_held_bytes": Rule("workers"),
    # The worst of all processes.
    "swin_ready": Rule("all", min),
    "process_open_fds": Rule("all", max),
    "process_max_fds": Rule("all", min),
    "process_virtual_memory_bytes": Rule("all"),
    "process_resident_memory_bytes": Rule("all"),
}


def rule(family: Metric) -> Rule:
    """How a family is merged: counts add up; other values are the engine's unless listed above."""
    return RULES.get(family.name, Rule("all") if family.type in COUNTS else ENGINE)


def merge(
    engine: Sequence[Metric], workers: Sequence[Sequence[Metric]], gone: Sequence[Metric]
) -> list[Metric]:
    """The families of one service.

    Args:
        engine: of the process that runs the model; it has all families there are.
        workers: of each worker process that there is.
        gone: merged, of those that there were.
    """
    merged = []
    for family in engine:
        how = rule(family)
        sources = [family] if how.whose != "workers" else []
        if how.whose != "engine":
            sources += [one for process in workers for one in process if one.name == family.name]
        if family.type in COUNTS and how.whose != "engine":
            sources += [one for one in gone if one.name == family.name]
        merged.append(_merged(family, sources, how.take))
    return merged


def kept(gone: Sequence[Metric], last: Sequence[Metric]) -> list[Metric]:
    """The counts of ended processes, with the last samples of one more added."""
    return [
        _merged(family, [family, *(one for one in gone if one.name == family.name)], sum)
        for family in last
        if family.type in COUNTS
    ]


def _merged(
    family: Metric, sources: Sequence[Metric], take: Callable[[Iterable[float]], float]
) -> Metric:
    """A family with one sample of each name and labels, in the order in which they are met."""
    found: dict[Key, list[Sample]] = {}
    for source in sources:
        for sample in source.samples:
            found.setdefault(_key(sample), []).append(sample)
    merged = Metric(family.name, family.documentation, family.type)
    merged.samples = [_sample(several, take) for several in found.values()]
    return merged


def _key(sample: Sample) -> Key:
    return sample.name, tuple(sorted(sample.labels.items()))


def _sample(several: Sequence[Sample], take: Callable[[Iterable[float]], float]) -> Sample:
    exemplars = [sample.exemplar for sample in several if sample.exemplar]
    newest = max(exemplars, key=lambda exemplar: float(exemplar.timestamp or 0), default=None)
    value = take(sample.value for sample in several)
    return several[0]._replace(value=value, exemplar=newest)
