import asyncio
from types import SimpleNamespace

import pytest

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

    def invocation_metadata(self):
        return ()

    def set_trailing_metadata(self, trailers):
        self.trailers = trailers

    async def abort(self, code, details):
        raise Aborted(code, details)


def call(error: BaseException, request=None) -> tuple[str, BaseException]:
    """The status that is counted when a method raises an error, and what the call raises."""
    service = SimpleNamespace(settings=Settings(), metrics=Metrics())

    async def model_infer(request, trace):
        raise error

    with pytest.raises((Aborted, asyncio.CancelledError)) as caught:
        asyncio.run(grpc_calls.observed(service, model_infer)(request, Context()))
    (status,) = (
        sample.labels["status"]
        for family in service.metrics.registry.collect()
        for sample in family.samples
        if sample.name == "swin_requests_total"
    )
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
    request = grpc_calls.reader(pb.ModelInferRequest.FromString)(b"\xff\xff\xff")
    status, raised = call(AssertionError("the method was called"), request)
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
