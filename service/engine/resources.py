"""The cores this process may use, and how many streams and threads to run on them."""

import contextlib
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from service.engine.gpu.devices import kind
from service.engine.gpu.providers import Gpu
from service.errors import DeviceError
from service.settings import Settings

CGROUP = Path("/sys/fs/cgroup")


MEMBERSHIP = Path("/proc/self/cgroup")
"""Lists the control groups that a process is in."""


def control_groups(
    controller: str, cgroup: Path = CGROUP, membership: Path = MEMBERSHIP
) -> list[Path]:
    """The folders of the control groups that limit the process: its own and their parents.

    Version 2 has one tree for all controllers, version 1 one for each, below its name. A container
    sees its own group as the root; a service of systemd is in a group within others.
    """
    groups = {cgroup, cgroup / controller}
    with contextlib.suppress(OSError):
        for line in membership.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if not controllers or controller in controllers.split(","):
                inner = Path(path.lstrip("/"))
                root = cgroup / controller if controllers else cgroup
                groups |= {root / group for group in (inner, *inner.parents)}
    return sorted(groups)


def cgroup_cpu_quota(cgroup: Path = CGROUP, membership: Path = MEMBERSHIP) -> float | None:
    """CPUs that the process may use, as a fraction, or None where there is no limit.

    The least quota of its control groups.
    """
    quotas = [_quota(group) for group in control_groups("cpu", cgroup, membership)]
    return min((quota for quota in quotas if quota is not None), default=None)


def _quota(group: Path) -> float | None:
    """Version 2 has "quota period" in microseconds in `cpu.max`, version 1 two files."""
    try:
        quota, period = (group / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            quota = (group / "cpu.cfs_quota_us").read_text().strip()
            period = (group / "cpu.cfs_period_us").read_text().strip()
        except OSError:
            return None
    if quota in {"max", "-1"}:
        return None
    return int(quota) / int(period)


def usable_cores(cgroup: Path = CGROUP, membership: Path = MEMBERSHIP) -> int:
    """Cores this process may use: its affinity mask, capped by the quotas of its control groups.

    A quota of 1.5 gives 1: two busy threads under it would be throttled in turn.
    """
    cores = len(os.sched_getaffinity(0))
    quota = cgroup_cpu_quota(cgroup, membership)
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
    gpu: Gpu


def plan(settings: Settings, devices: Sequence[str], cores: int, *, lone_runs: bool = True) -> Plan:
    """The layout for the CPU, or for GPUs; explicit settings win.

    On CPU one image a run on as many single-threaded streams as cores gives the most images per
    second, and batching loses to the caches (docs/decisions.md). A GPU wants full batches, and a
    second stream to copy the next batch while the first computes.

    Raises:
        DeviceError: a GPU would have no stream.
    """
    gpus = sum(kind(device) != "cpu" for device in devices)
    streams = settings.streams or 2 * gpus or cores
    if streams < gpus:
        raise DeviceError(f"SWIN_STREAMS={streams} leaves some of the {gpus} GPUs without work")
    threads = settings.threads_per_stream or max(1, cores // streams)
    one_session = gpus > 0 or not lone_runs or settings.threads_per_stream is not None
    most = settings.max_batch_size or (32 if gpus else 1)
    return Plan(
        streams=streams,
        threads_per_stream=threads,
        lone_threads=threads if one_session else cores,
        max_batch_size=most,
        decode_threads=cores if gpus else 0,
        gpu=Gpu(
            buckets=(most,) if settings.fixed_batch else buckets(most),
            graphs=settings.cuda_graphs,
            memory_bytes=settings.gpu_memory_bytes,
            arena=settings.gpu_arena,
            cache=settings.tensorrt_cache,
        ),
    )


@dataclass(frozen=True)
class WorkerPlan:
    """How a worker process is laid out: the batches it may hand in at once, and who decodes them.

    With 0 `decode_threads` the threads that wait for the engine do.
    """

    lanes: int
    decode_threads: int


def worker_plan(workers: int, streams: int, *, on_gpu: bool, cores: int) -> WorkerPlan:
    """The layout of each of several workers, before an engine of so many streams.

    They may hand in twice what it runs at once: on CPU half of that is being decoded, on a GPU it
    is the next batch. More lanes are more threads that want one interpreter (docs/decisions.md).
    """
    lanes = max(2, math.ceil(2 * streams / workers))
    return WorkerPlan(lanes, decode_threads=max(1, cores // workers) if on_gpu else 0)


def buckets(most: int) -> tuple[int, ...]:
    """Sizes of runs: the powers of two below the largest, and that one."""
    return (*(2**power for power in range((most - 1).bit_length())), most)
