"""What this process may use, and how a device's share of it is laid out in streams and threads."""

import math
import os
from dataclasses import dataclass
from pathlib import Path

from service.settings import Settings

CGROUP = Path("/sys/fs/cgroup")


def cgroup_cpu_quota(cgroup: Path = CGROUP) -> float | None:
    """CPUs that the control group may use, as a fraction, or None where there is no limit.

    Version 2 keeps "quota period" in microseconds in `cpu.max`, version 1 two files under `cpu/`.
    """
    try:
        quota, period = (cgroup / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            quota = (cgroup / "cpu/cpu.cfs_quota_us").read_text().strip()
            period = (cgroup / "cpu/cpu.cfs_period_us").read_text().strip()
        except OSError:
            return None
    if quota in {"max", "-1"}:
        return None
    return int(quota) / int(period)


def usable_cores(cgroup: Path = CGROUP) -> int:
    """Cores this process may use: its affinity mask, capped by the control group's quota.

    A quota of 1.5 gives 1: two busy threads under it would be throttled in turn.
    """
    cores = len(os.sched_getaffinity(0))
    quota = cgroup_cpu_quota(cgroup)
    return cores if quota is None else max(1, min(cores, math.floor(quota)))


@dataclass(frozen=True)
class Plan:
    """How the engine is laid out: `streams` runs at once, each on `threads_per_stream` threads.

    A run that has the machine to itself takes `lone_threads`. With 0 `decode_threads` each stream
    decodes its own images.
    """

    streams: int
    threads_per_stream: int
    lone_threads: int
    max_batch_size: int
    decode_threads: int


def plan(settings: Settings, *, on_gpu: bool, cores: int) -> Plan:
    """The layout for a device; explicit settings win.

    On CPU one image a run on as many single-threaded streams as cores gives the most images per
    second, and batching loses to the caches (docs/decisions.md). A GPU wants full batches, and a
    second stream to copy the next batch while the first computes.
    """
    streams = settings.streams or (2 if on_gpu else cores)
    threads = settings.threads_per_stream or max(1, cores // streams)
    one_gear = on_gpu or settings.threads_per_stream is not None
    return Plan(
        streams=streams,
        threads_per_stream=threads,
        lone_threads=threads if one_gear else cores,
        max_batch_size=settings.max_batch_size or (32 if on_gpu else 1),
        decode_threads=cores if on_gpu else 0,
    )
