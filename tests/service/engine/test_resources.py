import os

import pytest

from service.engine.resources import buckets, cgroup_cpu_quota, plan, usable_cores, worker_plan
from service.errors import DeviceError
from service.settings import Settings


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({"cpu.max": "150000 100000\n"}, 1.5),
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu/cpu.cfs_quota_us": "50000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 0.5),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        ({}, None),
    ],
)
def test_cgroup_quota(tmp_path, files, quota):
    (tmp_path / "cpu").mkdir()
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert cgroup_cpu_quota(tmp_path) == quota


def test_the_least_quota_of_nested_groups_counts(tmp_path):
    inner = tmp_path / "cgroup" / "system.slice" / "swin.service"
    inner.mkdir(parents=True)
    membership = tmp_path / "membership"
    membership.write_text("0::/system.slice/swin.service\n")

    def quota() -> float | None:
        return cgroup_cpu_quota(tmp_path / "cgroup", membership)

    assert quota() is None
    (inner / "cpu.max").write_text("max 100000\n")
    assert quota() is None
    (inner.parent / "cpu.max").write_text("300000 100000\n")
    assert quota() == 3
    (inner / "cpu.max").write_text("150000 100000\n")
    assert quota() == 1.5


@pytest.mark.parametrize("controllers", ["cpu", "cpu,cpuacct", "cpuacct,cpu"])
def test_a_nested_quota_of_version_1_counts(tmp_path, controllers):
    group = tmp_path / "cpu" / "docker" / "abc"
    group.mkdir(parents=True)
    membership = tmp_path / "membership"
    membership.write_text(f"5:{controllers}:/docker/abc\n4:memory:/other\n3:cpuset:/third\n")
    (group.parent / "cpu.cfs_quota_us").write_text("250000\n")
    (group.parent / "cpu.cfs_period_us").write_text("100000\n")
    assert cgroup_cpu_quota(tmp_path, membership) == 2.5


@pytest.mark.parametrize(("quota", "cores"), [("50000", 1), ("150000", 1), ("250000", 2)])
def test_usable_cores_round_the_quota_down(tmp_path, monkeypatch, quota, cores):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3})
    (tmp_path / "cpu.max").write_text(f"{quota} 100000\n")
    assert usable_cores(tmp_path) == cores


def test_usable_cores_without_a_quota_are_the_affinity_mask(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 5, 7})
    assert usable_cores(tmp_path) == 3


def test_plan_on_cpu_is_a_stream_a_core_and_all_cores_for_a_lone_run():
    made = plan(Settings(), ["cpu"], cores=4)
    assert (made.streams, made.threads_per_stream, made.lone_threads) == (4, 1, 4)
    assert (made.max_batch_size, made.decode_threads) == (1, 0)


def test_plan_without_lone_runs_has_one_session():
    made = plan(Settings(streams=2), ["cpu"], cores=4, lone_runs=False)
    assert (made.streams, made.threads_per_stream, made.lone_threads) == (2, 2, 2)


def test_plan_on_gpu_batches_and_decodes_ahead():
    made = plan(Settings(), ["cuda:0"], cores=8)
    assert (made.streams, made.threads_per_stream, made.lone_threads) == (2, 4, 4)
    assert (made.max_batch_size, made.decode_threads) == (32, 8)
    assert made.gpu.buckets == (1, 2, 4, 8, 16, 32)


def test_each_gpu_has_two_streams():
    assert plan(Settings(), ["cuda:0", "cuda:1", "cuda:2"], cores=8).streams == 6


def test_a_gpu_without_a_stream_is_refused():
    with pytest.raises(DeviceError, match="SWIN_STREAMS=1 leaves some of the 2 GPUs"):
        plan(Settings(streams=1), ["cuda:0", "cuda:1"], cores=8)


def test_explicit_settings_win():
    settings = Settings(streams=1, threads_per_stream=3, max_batch_size=5)
    made = plan(settings, ["cpu"], cores=4)
    assert (made.streams, made.threads_per_stream, made.lone_threads) == (1, 3, 3)
    assert (made.max_batch_size, made.decode_threads) == (5, 0)


def test_one_size_of_run_where_it_is_asked_for():
    settings = Settings(fixed_batch=True, max_batch_size=24)
    assert plan(settings, ["cuda:0"], cores=8).gpu.buckets == (24,)


@pytest.mark.parametrize(
    ("most", "sizes"), [(1, (1,)), (2, (1, 2)), (3, (1, 2, 3)), (24, (1, 2, 4, 8, 16, 24))]
)
def test_buckets_are_powers_of_two_and_the_largest(most, sizes):
    assert buckets(most) == sizes


@pytest.mark.parametrize(
    ("workers", "streams", "on_gpu", "lanes", "decode_threads"),
    [
        (2, 2, False, 2, 0),
        (8, 2, False, 2, 0),
        (3, 16, False, 11, 0),
        (2, 2, True, 2, 8),
        (32, 8, True, 2, 1),
    ],
)
def test_workers_hand_in_twice_what_runs_at_once(workers, streams, on_gpu, lanes, decode_threads):
    made = worker_plan(workers, streams, on_gpu=on_gpu, cores=16)
    assert (made.lanes, made.decode_threads) == (lanes, decode_threads)
