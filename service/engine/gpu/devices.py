"""Where a model can run: `cpu`, `cuda:0`, `tensorrt:1`; and if it can't, what is missing."""

import contextlib
import ctypes
import importlib
import io
import logging
import re
import weakref
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from service.errors import DeviceError
from service.settings import device_names

PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}

DRIVER = "libcuda.so.1"
LIBRARIES = {
    "cuda": "libonnxruntime_providers_cuda.so",
    "tensorrt": "libonnxruntime_providers_tensorrt.so",
}
SOURCES = (
    (r"libcuda\.", "comes with the NVIDIA driver, and into a container with --gpus all"),
    (r"libnv(infer|onnxparser)", "comes with TensorRT: pip install 'tensorrt-cu{cuda}-libs<11'"),
    (r"lib", "comes with the gpu extra"),
)
"""Where a library comes from, by its name; the first that matches."""

logger = logging.getLogger(__name__)


def kind(device: str) -> str:
    """`cuda` of `cuda:1`: one of `PROVIDERS`."""
    return device.partition(":")[0]


def number(device: str) -> int:
    """Which GPU: 1 of `cuda:1`, 0 where none is named."""
    return int(device.partition(":")[2] or 0)


def choose(asked: str) -> tuple[str, ...]:
    """The devices to run on: those asked for; for `auto` the first GPU if it works, or the CPU.

    Args:
        asked: a value of `SWIN_DEVICE`.

    Raises:
        DeviceError: one that was asked for by name cannot be had.
    """
    if asked == "auto":
        if PROVIDERS["cuda"] not in ort.get_available_providers():
            return ("cpu",)
        found = problem("cuda:0")
        if found is None:
            return ("cuda:0",)
        logger.warning("no GPU, running on the CPU: %s", found)
        return ("cpu",)
    devices = device_names(asked)
    for device in devices:
        if found := problem(device):
            raise DeviceError(f"SWIN_DEVICE={device}: {found}")
    return devices


def problem(device: str) -> str | None:
    """Why onnxruntime cannot run on a device, naming the library that does not load."""
    wanted = kind(device)
    if wanted == "cpu":
        return None
    available = ort.get_available_providers()
    if PROVIDERS[wanted] not in available:
        return (
            f"the installed onnxruntime offers only {', '.join(available)}; install the gpu extra "
            "in place of the cpu extra, or use SWIN_DEVICE=cpu"
        )
    _preload()
    for library in dict.fromkeys((LIBRARIES["cuda"], LIBRARIES[wanted])):
        try:
            ctypes.CDLL(str(Path(ort.__file__).parent / "capi" / library))
        except OSError as error:
            return _missing(str(error))
    try:
        found = gpus()
    except DeviceError as error:
        return str(error)
    if number(device) >= len(found):
        return f"there is no such GPU, only {', '.join(f'{i}: {n}' for i, n in enumerate(found))}"
    return None


def gpus() -> list[str]:
    """Names of the GPUs that CUDA sees, in its order.

    Raises:
        DeviceError: the driver is not there, or does not answer.
    """
    try:
        driver = ctypes.CDLL(DRIVER)
    except OSError as error:
        raise DeviceError(_missing(str(error))) from error

    def call(name: str, *arguments: object) -> None:
        if code := getattr(driver, name)(*arguments):
            text = ctypes.c_char_p()
            driver.cuGetErrorName(code, ctypes.byref(text))
            raise DeviceError(f"{name} says {(text.value or b'error').decode()} ({code})")

    count = ctypes.c_int()
    call("cuInit", 0)
    call("cuDeviceGetCount", ctypes.byref(count))
    names = []
    for index in range(count.value):
        name = ctypes.create_string_buffer(128)
        call("cuDeviceGetName", name, len(name), index)
        names.append(name.value.decode())
    return names


def page_lock(memory: npt.NDArray[np.uint8], device: str) -> None:
    """Make a GPU this thread's, and host memory such that copies to it need no second one.

    The memory is let go when the array is. Where there is no leave to lock it, copies are slower;
    that is logged. On the CPU nothing is done.
    """
    if kind(device) == "cpu":
        return
    runtime = ctypes.CDLL(f"libcudart.so.{_cuda_major()}")
    runtime.cudaSetDevice(number(device))
    address = ctypes.c_void_p(memory.ctypes.data)
    if code := runtime.cudaHostRegister(address, ctypes.c_size_t(memory.nbytes), 0):
        logger.warning("%d bytes are not page-locked: CUDA error %d", memory.nbytes, code)
        return
    weakref.finalize(memory, runtime.cudaHostUnregister, address)


def _preload() -> None:
    """Load what wheels bring of CUDA and TensorRT, which is not where the loader looks."""
    with contextlib.redirect_stdout(io.StringIO()):  # it prints what it does not find
        ort.preload_dlls()
    with contextlib.suppress(ImportError):
        importlib.import_module("tensorrt_libs")


def _missing(error: str) -> str:
    """What the loader's error says, and where the library comes from."""
    library, _, reason = error.partition(": ")
    source = next((source for name, source in SOURCES if re.match(name, library)), None)
    if source is None:
        return error
    return f"{library} does not load ({reason}); it {source.format(cuda=_cuda_major())}"


def _cuda_major() -> str:
    """The version of CUDA that onnxruntime was built with, such as 13."""
    version: str = ort.cuda_version
    return version.partition(".")[0]
