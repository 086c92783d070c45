"""`python -m tests.alerts.server leak|gpu`: the service with a leak, or with a full GPU.

The GPU's figures are made up, as NVML would give them. SIGUSR1 frees its memory.
"""

import signal
import sys
import threading
import time
from types import SimpleNamespace

from service.observability import engine_metrics, nvml
from tests.faults import server

LEAK_BYTES, LEAK_S = 1_000_000, 0.5
GPU_BYTES = 80_000_000_000


def leak() -> None:
    """Keep a megabyte more every half second."""

    def grow() -> None:
        kept = []
        while True:
            kept.append(bytearray(b"x" * LEAK_BYTES))
            time.sleep(LEAK_S)

    threading.Thread(target=grow, daemon=True).start()


def fill_gpu() -> None:
    """Have a GPU that is 99 % full."""
    memory = SimpleNamespace(used=0.99 * GPU_BYTES, total=GPU_BYTES)
    nvml.pynvml = SimpleNamespace(
        nvmlInit=lambda: None,
        nvmlDeviceGetCount=lambda: 1,
        nvmlDeviceGetHandleByIndex=lambda number: number,
        nvmlDeviceGetMemoryInfo=lambda handle: memory,
        nvmlDeviceGetUtilizationRates=lambda handle: SimpleNamespace(gpu=50),
    )
    make = engine_metrics.EngineMetrics.__init__

    def with_gpu(self, registry):
        make(self, registry)
        nvml.register(registry)

    engine_metrics.EngineMetrics.__init__ = with_gpu
    signal.signal(signal.SIGUSR1, lambda *_: setattr(memory, "used", 0))


if __name__ == "__main__":
    {"leak": leak, "gpu": fill_gpu}[sys.argv.pop(1)]()
    sys.exit(server.main())
