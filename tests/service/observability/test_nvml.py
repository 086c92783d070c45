from types import SimpleNamespace

import pytest
from prometheus_client import CollectorRegistry

from service.observability import nvml


class NVMLError(Exception):
    pass


def fake_nvml(**overrides):
    """NVML as nvidia-ml-py spells it, of a machine with two GPUs."""
    calls = {
        "NVMLError": NVMLError,
        "nvmlInit": lambda: None,
        "nvmlDeviceGetCount": lambda: 2,
        "nvmlDeviceGetHandleByIndex": lambda number: number,
        "nvmlDeviceGetMemoryInfo": lambda gpu: SimpleNamespace(used=gpu + 1, total=80),
        "nvmlDeviceGetUtilizationRates": lambda gpu: SimpleNamespace(gpu=25),
    }
    return SimpleNamespace(**calls | overrides)


def test_each_gpu_is_seen_in_base_units(monkeypatch):
    monkeypatch.setattr(nvml, "pynvml", fake_nvml())
    registry = CollectorRegistry()
    assert nvml.register(registry)
    assert registry.get_sample_value("swin_gpu_memory_used_bytes", {"gpu": "1"}) == 2
    assert registry.get_sample_value("swin_gpu_memory_bytes", {"gpu": "0"}) == 80
    assert registry.get_sample_value("swin_gpu_utilization_ratio", {"gpu": "0"}) == 0.25


def no_driver():
    raise NVMLError


@pytest.mark.parametrize("library", [None, fake_nvml(nvmlInit=no_driver)])
def test_without_nvml_there_are_no_gpu_metrics(monkeypatch, library):
    monkeypatch.setattr(nvml, "pynvml", library)
    registry = CollectorRegistry()
    assert not nvml.register(registry)
    assert list(registry.collect()) == []
