import os

import pytest

from service.resources import Plan, cgroup_cpu_quota, plan, usable_cores
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


@pytest.mark.parametrize(("quota", "cores"), [("50000", 1), ("150000", 1), ("250000", 2)])
def test_usable_cores_round_the_quota_down(tmp_path, monkeypatch, quota, cores):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3})
    (tmp_path / "cpu.max").write_text(f"{quota} 100000\n")
    assert usable_cores(tmp_path) == cores


def test_usable_cores_without_a_quota_are_the_affinity_mask(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 5, 7})
    assert usable_cores(tmp_path) == 3


def test_plan_on_cpu_is_a_stream_a_core_and_all_cores_for_a_lone_run():
    assert plan(Settings(), on_gpu=False, cores=4) == Plan(4, 1, 4, 1, 0)


def test_plan_on_gpu_batches_and_decodes_ahead():
    assert plan(Settings(), on_gpu=True, cores=8) == Plan(2, 4, 4, 32, 8)


def test_explicit_settings_win():
    settings = Settings(streams=1, threads_per_stream=3, max_batch_size=5)
    assert plan(settings, on_gpu=False, cores=4) == Plan(1, 3, 3, 5, 0)
