from pathlib import Path

import pytest

from service.engine import model
from service.engine.gpu.providers import Gpu, providers


@pytest.fixture(scope="module")
def card(artifact):
    return model.load(artifact, "cpu", threads=1).card


def test_cuda(card):
    gpu = Gpu(buckets=(1, 2, 4), memory_bytes=10**9)
    assert providers("cuda:1", gpu, card, "abc") == [
        (
            "CUDAExecutionProvider",
            {
                "gpu_mem_limit": "1000000000",
                "device_id": "1",
                "arena_extend_strategy": "kSameAsRequested",
                "cudnn_conv_algo_search": "HEURISTIC",
                "enable_cuda_graph": "0",
                "use_tf32": "0",
            },
        )
    ]


def test_graphs_and_the_arena_are_as_asked(card):
    gpu = Gpu(graphs=True, arena="doubled")
    ((_, options),) = providers("cuda:0", gpu, card, "abc")
    assert options["enable_cuda_graph"] == "1"
    assert options["arena_extend_strategy"] == "kNextPowerOfTwo"
    assert "gpu_mem_limit" not in options


def test_tensorrt_leaves_to_cuda_what_it_cannot_do(card):
    gpu = Gpu(buckets=(1, 2, 4, 8), cache=Path("/cache"), graphs=True)
    (first, tensorrt), (second, cuda) = providers("tensorrt:1", gpu, card, "abc")
    assert (first, second) == ("TensorrtExecutionProvider", "CUDAExecutionProvider")
    assert tensorrt["device_id"] == cuda["device_id"] == "1"
    assert tensorrt["trt_profile_min_shapes"] == "pixels:1x32x32x3"
    assert tensorrt["trt_profile_opt_shapes"] == "pixels:8x32x32x3"
    assert tensorrt["trt_profile_max_shapes"] == "pixels:8x32x32x3"
    assert (tensorrt["trt_cuda_graph_enable"], cuda["enable_cuda_graph"]) == ("1", "0")


def test_each_artifact_has_engines_of_its_own_and_all_share_timings(card):
    gpu = Gpu(cache=Path("/cache"))
    one, other = (providers("tensorrt:0", gpu, card, digest)[0][1] for digest in ("abc", "def"))
    assert one["trt_engine_cache_path"] == "/cache/abc"
    assert other["trt_engine_cache_path"] == "/cache/def"
    assert one["trt_timing_cache_path"] == other["trt_timing_cache_path"] == "/cache"


@pytest.mark.parametrize(("precision", "half"), [("fp32", "0"), ("fp16", "1")])
def test_tensorrt_keeps_to_the_precision_of_the_artifact(card, precision, half):
    card = card.model_copy(update={"precision": precision})
    assert providers("tensorrt:0", Gpu(), card, "abc")[0][1]["trt_fp16_enable"] == half
