"""What onnxruntime is asked for on each kind of device, as data."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from model_export.model_card import PIXELS, ModelCard
from service.engine.gpu.devices import PROVIDERS, kind, number
from service.settings import Growth, default_tensorrt_cache

Providers = list[tuple[str, dict[str, str]]]
"""Execution providers in order of precedence, each with its options, as onnxruntime takes them."""

ARENA: dict[Growth, str] = {"requested": "kSameAsRequested", "doubled": "kNextPowerOfTwo"}


@dataclass(frozen=True)
class Gpu:
    """How GPUs are used.

    Attributes:
        buckets: sizes of runs, ascending; a batch is padded to the next.
        graphs: record each bucket as a CUDA graph when it is warmed up, and replay it.
        memory_bytes: what onnxruntime may allocate on a GPU, if that is limited.
        arena: how its arena grows.
        cache: folder of TensorRT's engines and timings.
    """

    buckets: Sequence[int] = (1,)
    graphs: bool = False
    memory_bytes: int | None = None
    arena: Growth = "requested"
    cache: Path = field(default_factory=default_tensorrt_cache)


def providers(device: str, gpu: Gpu, card: ModelCard, digest: str) -> Providers:
    """The providers for a GPU.

    Args:
        device: `cuda:0` or `tensorrt:0` or the like.
        gpu: how it is used.
        card: the artifact's.
        digest: its SHA-256, in hexadecimal.
    """
    cuda = (PROVIDERS["cuda"], _cuda(device, gpu))
    if kind(device) == "cuda":
        return [cuda]
    return [(PROVIDERS["tensorrt"], _tensorrt(device, gpu, card, digest)), cuda]


def _cuda(device: str, gpu: Gpu) -> dict[str, str]:
    limit = {} if gpu.memory_bytes is None else {"gpu_mem_limit": str(gpu.memory_bytes)}
    return limit | {
        "device_id": str(number(device)),
        "arena_extend_strategy": ARENA[gpu.arena],
        "cudnn_conv_algo_search": "HEURISTIC",
        "enable_cuda_graph": _flag(gpu.graphs and kind(device) == "cuda"),
        "use_tf32": "0",  # onnxruntime's default would round an fp32 artifact to 10 bits, unasked
    }


def _tensorrt(device: str, gpu: Gpu, card: ModelCard, digest: str) -> dict[str, str]:
    """One shape profile spans the buckets, and is tuned for the largest.

    The provider names an engine by the graph, not by its weights (onnxruntime#6455), so each
    artifact has a folder of its own; the timings, of kernels, are shared.
    """
    least, most = (
        f"{PIXELS}:{size}x{card.image_size}x{card.image_size}x3"
        for size in (gpu.buckets[0], gpu.buckets[-1])
    )
    return {
        "device_id": str(number(device)),
        "trt_fp16_enable": _flag(card.precision == "fp16"),
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": str(gpu.cache / digest),
        "trt_timing_cache_enable": "1",
        "trt_timing_cache_path": str(gpu.cache),
        "trt_profile_min_shapes": least,
        "trt_profile_opt_shapes": most,
        "trt_profile_max_shapes": most,
        "trt_cuda_graph_enable": _flag(gpu.graphs),
    }


def _flag(value: bool) -> str:
    return "1" if value else "0"
