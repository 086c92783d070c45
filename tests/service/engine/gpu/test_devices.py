import ctypes
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from service.engine.gpu import devices
from service.errors import DeviceError

CPU_ONLY = ["CPUExecutionProvider"]
ALL = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]


class Driver:
    """libcuda as far as we call it, of a machine with these GPUs; or of one where it fails."""

    def __init__(self, names: tuple[str, ...], fails: int = 0) -> None:
        self.names = names
        self.fails = fails

    def cuInit(self, flags):  # noqa: N802 - the driver's names
        return self.fails

    def cuDeviceGetCount(self, count):  # noqa: N802 - the driver's name
        count._obj.value = len(self.names)
        return 0

    def cuDeviceGetName(self, name, length, device):  # noqa: N802 - the driver's name
        name.value = self.names[device].encode()
        return 0

    def cuGetErrorName(self, code, text):  # noqa: N802 - the driver's name
        text._obj.value = b"CUDA_ERROR_NO_DEVICE"
        return 0


@pytest.fixture
def machine(monkeypatch):
    """Make this a machine with a GPU build of onnxruntime: `missing` maps a library to its lack."""

    def pretend(driver: Driver | None = None, missing: dict[str, str] | None = None) -> None:
        def load(path: str):
            name = Path(path).name
            lack = (missing or {}).get(name)
            if lack is None and name == devices.DRIVER and driver is None:
                lack = devices.DRIVER
            if lack is not None:
                reason = "cannot open shared object file: No such file or directory"
                raise OSError(f"{lack}: {reason}")
            return driver

        monkeypatch.setattr(ort, "get_available_providers", lambda: ALL)
        monkeypatch.setattr(ort, "cuda_version", "13.0")
        monkeypatch.setattr(ctypes, "CDLL", load)

    return pretend


TWO = Driver(("NVIDIA A", "NVIDIA B"))


def test_an_onnxruntime_for_cpus_names_the_extra(monkeypatch):
    monkeypatch.setattr(ort, "get_available_providers", lambda: CPU_ONLY)
    with pytest.raises(DeviceError, match=r"^SWIN_DEVICE=cuda: .*install the gpu extra"):
        devices.choose("cuda")
    assert devices.choose("auto") == ("cpu",)
    assert devices.choose("cpu") == ("cpu",)


@pytest.mark.parametrize(
    ("device", "provider", "library", "source"),
    [
        ("cuda", "libonnxruntime_providers_cuda.so", "libcublasLt.so.13", "the gpu extra"),
        ("cuda", "libonnxruntime_providers_cuda.so", "libnvrtc.so.13", "the gpu extra"),
        ("tensorrt", "libonnxruntime_providers_cuda.so", "libcurand.so.10", "the gpu extra"),
        ("cuda", "libonnxruntime_providers_cuda.so", "libcuda.so.1", "the NVIDIA driver"),
        (
            "tensorrt",
            "libonnxruntime_providers_tensorrt.so",
            "libnvinfer.so.10",
            "pip install 'tensorrt-cu13-libs",
        ),
    ],
)
def test_a_library_that_does_not_load_is_named(machine, device, provider, library, source):
    machine(TWO, {provider: library})
    with pytest.raises(DeviceError) as refused:
        devices.choose(device)
    assert str(refused.value).startswith(f"SWIN_DEVICE={device}: {library} does not load")
    assert source in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_loader_error_of_another_kind_is_passed_on(machine):
    machine(TWO, {"libonnxruntime_providers_cuda.so": "/site/providers_cuda.so"})
    assert devices.problem("cuda").startswith("/site/providers_cuda.so: cannot open")


def test_a_driver_without_a_gpu_is_quoted(machine):
    machine(Driver((), fails=100))
    with pytest.raises(DeviceError, match=r"cuInit says CUDA_ERROR_NO_DEVICE \(100\)"):
        devices.choose("cuda:0")


def test_a_driver_that_is_not_there_is_named(machine):
    machine(None)
    assert "libcuda.so.1 does not load" in devices.problem("cuda")


def test_a_gpu_that_is_not_there(machine):
    machine(TWO)
    assert devices.problem("cuda:1") is None
    assert devices.problem("cuda:2") == "there is no such GPU, only 0: NVIDIA A, 1: NVIDIA B"


def test_auto_takes_the_first_gpu_that_works(machine):
    machine(TWO)
    assert devices.choose("auto") == ("cuda:0",)


def test_auto_says_why_it_takes_the_cpu(machine, caplog):
    machine(TWO, {"libonnxruntime_providers_cuda.so": "libcublasLt.so.13"})
    assert devices.choose("auto") == ("cpu",)
    assert "libcublasLt.so.13 does not load" in caplog.text


def test_gpus_by_name(machine):
    machine(TWO)
    assert devices.gpus() == ["NVIDIA A", "NVIDIA B"]


def test_every_gpu_that_was_asked_for_must_be_there(machine):
    machine(TWO)
    assert devices.choose("cuda:0,cuda:1") == ("cuda:0", "cuda:1")
    with pytest.raises(DeviceError, match=r"SWIN_DEVICE=cuda:7: there is no such GPU"):
        devices.choose("cuda:0,cuda:7")


class Runtime:
    """libcudart as far as we call it."""

    def __init__(self, fails: int = 0) -> None:
        self.fails = fails
        self.calls = []

    def cudaSetDevice(self, number):  # noqa: N802 - the driver's name
        self.calls.append(("device", number))

    def cudaHostRegister(self, address, size, flags):  # noqa: N802 - the driver's name
        self.calls.append(("lock", address.value, size.value))
        return self.fails

    def cudaHostUnregister(self, address):  # noqa: N802 - the driver's name
        self.calls.append(("unlock", address.value))


@pytest.fixture
def runtime(monkeypatch):
    runtime = Runtime()
    monkeypatch.setattr(ort, "cuda_version", "13.0")
    monkeypatch.setattr(ctypes, "CDLL", {"libcudart.so.13": runtime}.__getitem__)
    return runtime


def test_memory_is_locked_for_as_long_as_it_is_held(runtime):
    memory = np.zeros(64, np.uint8)
    address = memory.ctypes.data
    devices.page_lock(memory, "cuda:1")
    assert runtime.calls == [("device", 1), ("lock", address, 64)]
    del memory
    assert runtime.calls[2:] == [("unlock", address)]


def test_memory_that_cannot_be_locked_is_used_all_the_same(runtime, caplog):
    runtime.fails = 2
    memory = np.zeros(64, np.uint8)
    devices.page_lock(memory, "tensorrt:0")
    del memory
    assert "64 bytes are not page-locked: CUDA error 2" in caplog.text
    assert "unlock" not in dict.fromkeys(call[0] for call in runtime.calls)


def test_the_cpu_needs_no_locked_memory(runtime):
    devices.page_lock(np.zeros(64, np.uint8), "cpu")
    assert runtime.calls == []
