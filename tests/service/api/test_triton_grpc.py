"""Triton's management calls over gRPC, beside the same over HTTP."""

import json
import urllib.request

import pytest

from tests.service.api.test_clients import free_port
from tests.service.api.test_open_inference_grpc import NAME, call, grpc, images, infer, pb
from tests.support.images import encode, jpeg, noise
from tests.support.process import SOON, running


@pytest.fixture(scope="module")
def served(artifact):
    port = free_port()
    channel = grpc.insecure_channel(f"127.0.0.1:{port}")
    with running(model=artifact, grpc_port=port) as (_, address), channel:
        yield address, channel


def asked(channel, method, **fields):
    request, response = (getattr(pb, f"{method}{kind}") for kind in ("Request", "Response"))
    return call(channel, method, request(**fields), response, ())[0]


def refused(call_, *arguments, **options) -> tuple[str, str]:
    with pytest.raises(grpc.RpcError) as caught:
        call_(*arguments, **options)
    return caught.value.code().name, caught.value.details()


def over_http(address, path, data=None):
    with urllib.request.urlopen(address + path, data, timeout=SOON) as answer:
        return json.load(answer)


def test_the_configuration_is_the_one_of_http(served):
    address, channel = served
    config = asked(channel, "ModelConfig", name=NAME).config
    told = over_http(address, f"/v2/models/{NAME}/config")
    assert (config.name, config.platform, config.backend) == (NAME, told["platform"], "onnxruntime")
    assert [(one.name, list(one.dims)) for one in config.input] == [
        (one["name"], one["dims"]) for one in told["input"]
    ]
    types = pb.DataType.Name
    assert [types(one.data_type) for one in config.input] == ["TYPE_STRING", "TYPE_UINT8"]
    assert [types(one.data_type) for one in config.output] == ["TYPE_FP32"]


@pytest.mark.parametrize("fields", [{}, {"name": NAME}, {"name": NAME, "version": "1"}])
def test_the_statistics_are_those_of_http(served, fields):
    address, channel = served
    before = asked(channel, "ModelStatistics", **fields).model_stats[0]
    infer(channel, images(jpeg("coffee"), encode(noise(9, 9))), metadata=())
    refused(infer, channel, images(b"no image"), metadata=())
    (after,) = asked(channel, "ModelStatistics", **fields).model_stats
    assert after.inference_count == before.inference_count + 2
    assert after.inference_stats.fail.count == before.inference_stats.fail.count + 1
    assert after.inference_stats.compute_infer.ns > before.inference_stats.compute_infer.ns
    (told,) = over_http(address, "/v2/models/stats")["model_stats"]
    assert (after.name, after.version) == (told["name"], told["version"])
    assert after.execution_count == told["execution_count"]
    for kind, duration in told["inference_stats"].items():
        ours = getattr(after.inference_stats, kind)
        assert (ours.count, ours.ns) == (duration["count"], duration["ns"])


def test_the_index_is_the_one_of_http(served):
    address, channel = served
    (model,) = asked(channel, "RepositoryIndex").models
    (told,) = over_http(address, "/v2/repository/index", b"{}")
    assert {name: getattr(model, name) for name in told} == told


def test_another_model_is_none(served):
    for method in ("ModelConfig", "ModelStatistics"):
        code, details = refused(asked, served[1], method, name="other")
        assert (code, NAME in details) == ("NOT_FOUND", True)


@pytest.mark.parametrize(
    ("method", "says"),
    [
        ("RepositoryModelLoad", "index"),
        ("RepositoryModelUnload", "index"),
        ("SystemSharedMemoryStatus", "in the request"),
        ("SystemSharedMemoryRegister", "in the request"),
        ("CudaSharedMemoryUnregister", "in the request"),
        ("TraceSetting", "OTEL"),
        ("LogSettings", "SWIN_LOG"),
    ],
)
def test_what_is_not_supported_is_said_with_what_is(served, method, says):
    rpc = served[1].unary_unary(f"/inference.GRPCInferenceService/{method}")
    code, details = refused(rpc, b"\x0a\x01a", timeout=SOON)
    assert code == "INVALID_ARGUMENT"
    assert f"{method} is not supported" in details
    assert says in details


def test_the_timeout_of_a_request_is_honoured(served):
    short = {"timeout": pb.InferParameter(int64_param=1)}
    code, details = refused(infer, served[1], images(jpeg("coffee")), metadata=(), parameters=short)
    assert code == "DEADLINE_EXCEEDED"
    assert details != "Deadline Exceeded"  # which is the client's own, later
    for parameter in (pb.InferParameter(int64_param=-1), pb.InferParameter(string_param="1 s")):
        code, details = refused(
            infer,
            served[1],
            images(jpeg("coffee")),
            metadata=(),
            parameters={"timeout": parameter},
        )
        assert (code, "microseconds" in details) == ("INVALID_ARGUMENT", True)


@pytest.mark.parametrize("datatype", ["BYTES", "UINT8", "FP32"])
def test_a_wrong_input_is_told_which_there_are(served, datatype):
    tensor = pb.ModelInferRequest.InferInputTensor(name="input", datatype=datatype, shape=[1])
    code, details = refused(infer, served[1], tensor, raw=[b"\1\0\0\0a"], metadata=())
    assert code == "INVALID_ARGUMENT"
    assert "'image'" in details
    assert "'pixels'" in details
