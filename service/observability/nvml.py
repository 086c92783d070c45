"""Memory and load of the GPUs, as NVML tells them; nothing where it is not there."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

try:
    import pynvml
except ImportError:  # comes with the gpu extra
    pynvml = None


class GpuCollector(Collector):
    """Asks NVML when Prometheus asks."""

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Memory and utilisation of each GPU that this process can see."""
        used = GaugeMetricFamily("swin_gpu_memory_used_bytes", "GPU memory in use", labels=["gpu"])
        total = GaugeMetricFamily("swin_gpu_memory_bytes", "GPU memory there is", labels=["gpu"])
        load = GaugeMetricFamily(
            "swin_gpu_utilization_ratio", "Share of time the GPU was busy, 0 to 1", labels=["gpu"]
        )
        for number in range(pynvml.nvmlDeviceGetCount()):
            handle = pynvml.nvmlDeviceGetHandleByIndex(number)
            memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
            used.add_metric([str(number)], memory.used)
            total.add_metric([str(number)], memory.total)
            share = pynvml.nvmlDeviceGetUtilizationRates(handle).gpu / 100
            load.add_metric([str(number)], share)
        yield from (used, total, load)


def available() -> bool:
    """Whether NVML answers."""
    if pynvml is None:
        return False
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return False
    return True


def register(registry: CollectorRegistry) -> bool:
    """Add the GPU metrics to a registry, where NVML answers; whether it does."""
    if not available():
        return False
    registry.register(GpuCollector())
    return True
