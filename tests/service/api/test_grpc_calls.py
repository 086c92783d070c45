import asyncio
import gc
import weakref
from types import SimpleNamespace

import pytest

from service.engine.memory_budget import MemoryBudget
from service.errors import InvalidImage
from service.observability.metrics import Metrics
from service.settings import Settings

grpc = pytest.importorskip("grpc", reason="needs the grpc extra")
pb = pytest.importorskip("service.api.proto.open_inference_pb2")
grpc_calls = pytest.importorskip("service.api.grpc_calls")


class Aborted(Exception):
    pass


class Context:
    """What a method sees of a call."""

    trailers = ()

    def __init__(self, message: bytes):
        self.message = message

    async def read(self):
        return self.message

    def invocation_metadata(self):
        return ()

    def set_trailing_metadata(self, trailers):
        self.trailers = trailers

    async def abort(self, code, details):
        raise Aborted(code, details)


def service(**settings):
    return SimpleNamespace(
        settings=Settings(**settings), metrics=Metrics(), budget=MemoryBudget(1_000_000)
    )


def call(error: BaseException, message: bytes = b"") -> tuple[str, BaseException]:
    """The status that is counted when a method raises an error, and what the call raises."""
    served = service()

    async def model_infer(request, state):
        raise error

    handler = grpc_calls.Calls(served).handler(model_infer, pb.ModelInferRequest)
    with pytest.raises((Aborted, asyncio.CancelledError)) as caught:
        asyncio.run(handler.stream_unary(None, Context(message)))
    (status,) = (
        sample.labels["status"]
        for family in served.metrics.registry.collect()
        for sample in family.samples
        if sample.name == "swin_requests_total"
    )
    assert served.budget.held == 0
    return status, caught.value


def test_a_client_that_gives_up_is_no_failure_of_the_service():
    assert call(asyncio.CancelledError())[0] == "499"


def test_an_error_names_the_part_at_fault():
    status, raised = call(InvalidImage("the image is damaged", param="image[1]"))
    assert status == "422"
    assert raised.args == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "image[1]: the image is damaged",
    )


def test_what_cannot_be_read_is_counted():
    status, raised = call(AssertionError("the method was called"), b"\xff\xff\xff")
    assert (status, raised.args[0]) == ("400", grpc.StatusCode.INVALID_ARGUMENT)


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (MemoryError(), "503", grpc.StatusCode.UNAVAILABLE),
        (KeyError("secret"), "500", grpc.StatusCode.INTERNAL),
    ],
)
def test_what_nobody_foresaw_is_logged_and_not_told(caplog, error, status, code):
    counted, raised = call(error)
    assert (counted, raised.args[0]) == (status, code)
    assert "secret" not in raised.args[1]
    assert caplog.records[0].exc_info[1] is error


class Watched(bytearray):
    """A message that can be watched for being kept."""


def test_a_refused_call_leaves_nothing_behind():
    kept = []

    async def model_infer(request, state):
        image = Watched()
        kept.append(weakref.ref(image))
        failure = InvalidImage("the image is damaged")
        raise failure  # from a frame with a circle in it

    handler = grpc_calls.Calls(service()).handler(model_infer, pb.ModelInferRequest)
    gc.disable()
    try:
        with pytest.raises(Aborted):
            asyncio.run(handler.stream_unary(None, Context(b"")))
        assert kept[0]() is None
    finally:
        gc.enable()


def test_what_does_not_fit_in_the_memory_budget_is_refused():
    status, raised = call(AssertionError("the method was called"), bytes(1_000_001))
    assert (status, raised.args[0]) == ("429", grpc.StatusCode.RESOURCE_EXHAUSTED)


def test_no_message_is_read_without_a_key():
    class Unread(Context):
        async def read(self):
            raise AssertionError("the message was read")

    async def model_infer(request, state):
        raise AssertionError("the method was called")

    handler = grpc_calls.Calls(service(api_keys="k")).handler(model_infer, pb.ModelInferRequest)
    with pytest.raises(Aborted) as caught:
        asyncio.run(handler.stream_unary(None, Unread(b"")))
    assert caught.value.args[0] is grpc.StatusCode.UNAUTHENTICATED
