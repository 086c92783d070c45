import resource
from pathlib import Path

import pytest

from service.engine import memory_plan
from service.engine.memory_budget import COPIES
from service.engine.memory_plan import MIB, make
from service.images.cost import SMALL_BYTES, dearest_bytes
from service.settings import Settings

GIB = 1024 * MIB
DEFAULT = Settings().max_image_pixels


def planned(gib: float, cores: int = 2, **settings):
    return make(Settings(**settings), round(gib * GIB), 200 * MIB, cores)


@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.parametrize("cores", [1, 2, 8])
@pytest.mark.parametrize("gib", [2, 4, 16, 64])
def test_the_defaults_fit_the_memory_there_is(gib, cores, workers):
    plan = planned(gib, cores, workers=workers)
    decoders = max(cores, 2 * workers if workers > 1 else 1)
    if plan.max_image_pixels > memory_plan.LEAST_PIXELS:
        assert plan.fits()
        images = workers * dearest_bytes(plan.max_image_pixels) + decoders * SMALL_BYTES
        assert plan.process + images + COPIES * plan.budget <= gib * GIB
    assert plan.budget >= 4 * 16 * MIB * workers


def test_large_images_are_allowed_where_there_is_memory_and_fewer_pixels_where_not():
    assert planned(24).max_image_pixels == DEFAULT
    assert planned(2).max_image_pixels == DEFAULT
    assert 20_000_000 < planned(1.2).max_image_pixels < DEFAULT


def test_what_is_set_is_kept(caplog):
    plan = planned(1, max_image_pixels=64_000_000)
    assert plan.max_image_pixels == 64_000_000
    assert not plan.fits()
    assert planned(2, memory_budget_bytes=1000).budget == 1000


def test_a_limit_around_the_control_group_counts(tmp_path):
    inner = tmp_path / "cgroup" / "system.slice" / "swin.service"
    inner.mkdir(parents=True)
    membership = tmp_path / "membership"
    membership.write_text("0::/system.slice/swin.service\n")

    def limited() -> int:
        return memory_plan.usable_memory(tmp_path / "cgroup", membership)[0]

    unlimited = limited()
    (inner / "memory.max").write_text("max\n")
    assert limited() == unlimited
    (inner.parent / "memory.max").write_text(f"{64 * MIB}\n")
    assert limited() == 64 * MIB
    (inner / "memory.max").write_text(f"{32 * MIB}\n")
    assert limited() == 32 * MIB


def test_a_limit_of_version_1_counts(tmp_path):
    group = tmp_path / "cgroup" / "memory" / "docker" / "abc"
    group.mkdir(parents=True)
    membership = tmp_path / "membership"
    membership.write_text("5:cpu,cpuacct:/\n4:memory:/docker/abc\n")
    (group / "memory.limit_in_bytes").write_text(f"{64 * MIB}\n")
    assert memory_plan.usable_memory(tmp_path / "cgroup", membership)[0] == 64 * MIB


def test_a_limit_of_addresses_counts(monkeypatch):
    monkeypatch.setattr(resource, "getrlimit", lambda _: (2 * GIB, 2 * GIB))
    assert memory_plan.usable_memory(Path("/nowhere"), Path("/nowhere")) == (
        2 * GIB,
        memory_plan.PROCESS_ADDRESSES,
    )


def test_the_log_says_what_was_lowered(monkeypatch, caplog):
    monkeypatch.setattr(memory_plan, "usable_memory", lambda: (2 * GIB, 700 * MIB))
    fitted = memory_plan.fit(Settings())
    assert fitted.max_image_pixels < DEFAULT
    assert f"SWIN_MAX_IMAGE_PIXELS is {fitted.max_image_pixels}" in caplog.text
    assert fitted.memory_budget_bytes >= 4 * fitted.max_request_bytes
