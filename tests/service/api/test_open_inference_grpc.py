"""The gRPC door of a real server, by our own messages."""

import contextlib
import socket

import numpy as np
import pytest

from tests.service.api.test_clients import free_port
from tests.service.test_main import failed, running
from tests.support.images import encode, jpeg, noise

grpc = pytest.importorskip("grpc", reason="needs the grpc extra")
health_pb2 = pytest.importorskip("grpc_health.v1.health_pb2")
health_pb2_grpc = pytest.importorskip("grpc_health.v1.health_pb2_grpc")
pb = pytest.importorskip("service.api.proto.open_inference_pb2")

NAME = "swin_small_example_patch4_window4_32"
KEY = (("authorization", "Bearer secret"),)


@pytest.fixture(scope="module")
def channel(artifact):
    port = free_port()
    settings = {"grpc_port": port, "api_keys": "secret", "max_request_bytes": 1_000_000}
    with running(model=artifact, **settings), grpc.insecure_channel(f"127.0.0.1:{port}") as opened:
        yield opened


def call(channel, method, request, response, metadata=KEY):
    rpc = channel.unary_unary(
        f"/inference.GRPCInferenceService/{method}",
        request_serializer=type(request).SerializeToString,
        response_deserializer=response.FromString,
    )
    return rpc.with_call(request, metadata=metadata, timeout=30)


def infer(channel, tensor, raw=(), metadata=KEY, name=NAME, **fields):
    request = pb.ModelInferRequest(
        model_name=name, inputs=[tensor], raw_input_contents=raw, **fields
    )
    return call(channel, "ModelInfer", request, pb.ModelInferResponse, metadata)


def images(*files):
    contents = pb.InferTensorContents(bytes_contents=files)
    return pb.ModelInferRequest.InferInputTensor(
        name="image", datatype="BYTES", shape=[len(files)], contents=contents
    )


def vectors(response):
    (output,) = response.outputs
    return np.frombuffer(response.raw_output_contents[0], "<f4").reshape(output.shape)


def test_images_in_contents_and_the_trace(channel):
    metadata = (*KEY, ("x-request-id", "mine"))
    response, done = infer(channel, images(jpeg("coffee"), jpeg("china")), metadata=metadata)
    assert vectors(response).shape == (2, 128)
    assert np.allclose(np.linalg.norm(vectors(response), axis=1), 1, atol=1e-6)
    trailers = dict(done.trailing_metadata())
    assert trailers["x-request-id"] == "mine"
    assert "inference;dur=" in trailers["server-timing"]


def test_pixels_raw_and_as_numbers_give_the_same_bits(channel):
    array = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    tensor = {"name": "pixels", "datatype": "UINT8", "shape": array.shape}
    make = pb.ModelInferRequest.InferInputTensor
    raw, _ = infer(channel, make(**tensor), raw=[array.tobytes()])
    contents = pb.InferTensorContents(uint_contents=array.ravel().tolist())
    numbers, _ = infer(channel, make(**tensor, contents=contents))
    assert np.array_equal(vectors(raw), vectors(numbers))


def test_the_metadata_has_the_policy_for_colour(channel):
    asked = pb.ModelMetadataRequest(name=NAME)
    told, _ = call(channel, "ModelMetadata", asked, pb.ModelMetadataResponse)
    assert dict(told.properties) == {"color_profiles": "ignore"}


def test_normalize_false(channel):
    parameters = {"normalize": pb.InferParameter(bool_param=False)}
    response, _ = infer(channel, images(jpeg("coffee")), parameters=parameters)
    assert np.linalg.norm(vectors(response)[0]) != pytest.approx(1, abs=0.01)


def refused(channel, *arguments, **options) -> tuple[str, str]:
    with pytest.raises(grpc.RpcError) as caught:
        infer(channel, *arguments, **options)
    return caught.value.code().name, caught.value.details()


def test_errors_have_their_status(channel):
    good = encode(noise(4, 4))
    code, details = refused(channel, images(good, b"no image"))
    assert code == "INVALID_ARGUMENT"
    assert details.startswith("image[1]: ")
    assert refused(channel, images(good), name="other")[0] == "NOT_FOUND"
    assert refused(channel, images(good), model_version="2")[0] == "NOT_FOUND"
    assert refused(channel, images(good), raw=[b"a", b"b"])[0] == "INVALID_ARGUMENT"
    number = pb.ModelInferRequest.InferInputTensor(name="pixels", datatype="UINT8")
    assert refused(channel, number, raw=[b"\5"])[0] == "INVALID_ARGUMENT"
    assert refused(channel, images(b"\0" * 2_000_000))[0] == "RESOURCE_EXHAUSTED"


def test_what_is_no_message_is_told_and_traced(channel):
    rpc = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
    with pytest.raises(grpc.RpcError) as caught:
        rpc(b"\xff\xff\xff", metadata=(*KEY, ("x-request-id", "mine")), timeout=30)
    assert caught.value.code().name == "INVALID_ARGUMENT"
    assert "message" in caught.value.details()
    assert dict(caught.value.trailing_metadata())["x-request-id"] == "mine"


PADDED = b"\x2a\x00" * 400_000
SHAPED = pb.ModelInferRequest.InferInputTensor(name="image", shape=[1] * 400_000)


@pytest.mark.parametrize(
    "message",
    [PADDED, pb.ModelInferRequest(inputs=[SHAPED]).SerializeToString()],
    ids=["inputs", "a shape"],
)
def test_a_message_of_very_many_parts_is_refused(channel, message):
    rpc = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
    with pytest.raises(grpc.RpcError) as caught:
        rpc(message, metadata=KEY, timeout=30)
    assert caught.value.code().name == "INVALID_ARGUMENT"
    assert "too many" in caught.value.details()


def test_connections_are_limited(artifact):
    port = free_port()
    settings = {"model": artifact, "grpc_port": port, "max_connections": 2}
    alone = (("grpc.use_local_subchannel_pool", 1), ("grpc.keepalive_permit_without_calls", 1))
    with running(**settings), contextlib.ExitStack() as stack:
        made = []
        for number in range(3):
            channel = grpc.insecure_channel(f"127.0.0.1:{port}", (*alone, ("number", number)))
            stack.enter_context(channel)
            try:
                grpc.channel_ready_future(channel).result(3)
                made.append(channel)
            except grpc.FutureTimeoutError:
                continue
        assert len(made) == 2
        assert infer(made[0], images(jpeg("coffee")), metadata=())[0].model_name == NAME


@pytest.mark.parametrize("metadata", [(), (("authorization", "Bearer wrong"),)])
def test_keys_are_asked_for(channel, metadata):
    assert refused(channel, images(b""), metadata=metadata)[0] == "UNAUTHENTICATED"
    live, _ = call(channel, "ServerLive", pb.ServerLiveRequest(), pb.ServerLiveResponse, metadata)
    assert live.live


def test_the_standard_health_service(channel):
    stub = health_pb2_grpc.HealthStub(channel)
    for service in ("", "inference.GRPCInferenceService"):
        answer = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=30)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
    watched = stub.Watch(health_pb2.HealthCheckRequest(), timeout=30)
    assert next(watched).status == health_pb2.HealthCheckResponse.SERVING
    watched.cancel()
    with pytest.raises(grpc.RpcError) as caught:
        stub.Check(health_pb2.HealthCheckRequest(service="other"), timeout=30)
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


@pytest.mark.skipif(not socket.has_ipv6, reason="needs IPv6")
def test_an_address_of_ipv6(artifact):
    port = free_port()
    settings = {"model": artifact, "host": "::1", "grpc_port": port}
    with running(**settings), grpc.insecure_channel(f"[::1]:{port}") as channel:
        assert infer(channel, images(jpeg("coffee")))[0].model_name == NAME


def test_a_port_that_is_taken_is_said(artifact):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        code, line = failed("--model", str(artifact), "--grpc-port", port)
    assert code == 1
    assert "SWIN_GRPC_PORT" in line
