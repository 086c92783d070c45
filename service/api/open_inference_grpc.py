"""The Open Inference Protocol over gRPC, and the standard health service, on `SWIN_GRPC_PORT`.

The same tensors, errors, keys, metrics and log line as over HTTP. Needs the `grpc` extra.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import asdict
from typing import Any, TypeVar

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from starlette.datastructures import State

from model_export import __version__
from model_export.model_card import EMBEDDING
from service.api import answers, auth, tensors
from service.api.middleware import log_request, request_id, server_timing
from service.api.proto import open_inference_pb2 as pb
from service.api.tensors import Tensor
from service.api.vectors import rows
from service.embedder import Embedder
from service.errors import InvalidRequest, ServiceError, StartError

SERVICE = "inference.GRPCInferenceService"
DOOR = "open_inference_grpc"
WATCH_S = 1.0

STATUS = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    404: grpc.StatusCode.NOT_FOUND,
    413: grpc.StatusCode.INVALID_ARGUMENT,
    422: grpc.StatusCode.INVALID_ARGUMENT,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}

Context = grpc.aio.ServicerContext[Any, Any]
Trace = dict[str, Any]
Message = TypeVar("Message")

logger = logging.getLogger(__name__)


async def start(service: State) -> grpc.aio.Server:
    """Serve on the port in the settings, until the server that is returned is stopped.

    Raises:
        StartError: the address cannot be had.
    """
    settings = service.settings
    server = grpc.aio.server(
        options=[
            ("grpc.max_receive_message_length", settings.max_request_bytes),
            ("grpc.max_send_message_length", -1),
            ("grpc.so_reuseport", 0),
        ]
    )
    door = _Door(service)
    methods: dict[str, tuple[Callable[[Any, Trace], Awaitable[Any]], Any]] = {
        "ServerLive": (door.server_live, pb.ServerLiveRequest),
        "ServerReady": (door.server_ready, pb.ServerReadyRequest),
        "ModelReady": (door.model_ready, pb.ModelReadyRequest),
        "ServerMetadata": (door.server_metadata, pb.ServerMetadataRequest),
        "ModelMetadata": (door.model_metadata, pb.ModelMetadataRequest),
        "ModelInfer": (door.model_infer, pb.ModelInferRequest),
    }
    handlers = {
        name: grpc.unary_unary_rpc_method_handler(
            _observed(service, method),
            request_deserializer=request.FromString,
            response_serializer=lambda response: response.SerializeToString(),
        )
        for name, (method, request) in methods.items()
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    health_pb2_grpc.add_HealthServicer_to_server(_Health(service), server)
    address = f"{settings.host}:{settings.grpc_port}"
    try:
        port = server.add_insecure_port(address)
    except RuntimeError as error:
        raise StartError(f"SWIN_GRPC_PORT: cannot listen on {address}") from error
    await server.start()
    logger.info("gRPC running on %s:%d", settings.host, port)
    return server


class _Door:
    """The methods; what they raise is answered by `_observed`.

    Each takes the request and the trace, in which it notes what the log line should tell.
    """

    def __init__(self, service: State) -> None:
        self._service = service

    async def server_live(self, _: pb.ServerLiveRequest, __: Trace) -> pb.ServerLiveResponse:
        return pb.ServerLiveResponse(live=True)

    async def server_ready(self, _: pb.ServerReadyRequest, __: Trace) -> pb.ServerReadyResponse:
        return pb.ServerReadyResponse(ready=await _ready(self._service))

    async def model_ready(self, request: pb.ModelReadyRequest, _: Trace) -> pb.ModelReadyResponse:
        self._embedder(request.name, request.version)
        return pb.ModelReadyResponse(ready=await _ready(self._service))

    async def server_metadata(
        self, _: pb.ServerMetadataRequest, __: Trace
    ) -> pb.ServerMetadataResponse:
        return pb.ServerMetadataResponse(
            name="swin-embed", version=__version__, extensions=tensors.EXTENSIONS
        )

    async def model_metadata(
        self, request: pb.ModelMetadataRequest, _: Trace
    ) -> pb.ModelMetadataResponse:
        card = self._embedder(request.name, request.version).card
        metadata = pb.ModelMetadataResponse.TensorMetadata
        return pb.ModelMetadataResponse(
            name=card.name,
            versions=[tensors.VERSION],
            platform=tensors.PLATFORM,
            inputs=[metadata(**asdict(tensor)) for tensor in tensors.inputs(card)],
            outputs=[metadata(**asdict(tensor)) for tensor in tensors.outputs(card)],
        )

    async def model_infer(
        self, request: pb.ModelInferRequest, trace: Trace
    ) -> pb.ModelInferResponse:
        embedder = self._embedder(request.model_name, request.model_version)
        card = embedder.card
        tensors.check_outputs([output.name for output in request.outputs])
        normalize = tensors.normalize(_parameters(request.parameters))
        uploads = tensors.uploads(_tensors(request), card)
        trace["images"] = len(uploads)
        settings = self._service.settings
        embeddings = await answers.compute(embedder, settings, uploads, settings.request_timeout_s)
        started = time.monotonic()
        vectors = rows(embeddings, normalize=normalize).array
        output = pb.ModelInferResponse.InferOutputTensor(
            name=EMBEDDING, datatype="FP32", shape=vectors.shape
        )
        response = pb.ModelInferResponse(
            model_name=card.name,
            model_version=tensors.VERSION,
            id=request.id,
            outputs=[output],
            raw_output_contents=[vectors.tobytes()],
        )
        encode_s = time.monotonic() - started
        self._service.metrics.encode.observe(encode_s)
        trace["stages"] = answers.stages(embeddings) | {"encode": encode_s}
        return response

    def _embedder(self, name: str, version: str) -> Embedder:
        embedder: Embedder = self._service.lifecycle.embedder
        tensors.check_model(embedder.card, name, version)
        return embedder


class _Health(health_pb2_grpc.HealthServicer):
    """grpc.health.v1: serving is what ready is over HTTP; open to everyone."""

    def __init__(self, service: State) -> None:
        self._service = service

    async def Check(  # noqa: N802 - the protocol's name
        self, request: health_pb2.HealthCheckRequest, context: Context
    ) -> health_pb2.HealthCheckResponse:
        if request.service not in {"", SERVICE}:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"there is no {request.service!r} here")
        return await self._response()

    async def Watch(  # noqa: N802 - the protocol's name
        self, request: health_pb2.HealthCheckRequest, context: Context
    ) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        if request.service not in {"", SERVICE}:
            yield health_pb2.HealthCheckResponse(status="SERVICE_UNKNOWN")
        told = None
        while request.service in {"", SERVICE}:
            response = await self._response()
            if response != told:
                yield response
            told = response
            await asyncio.sleep(WATCH_S)

    async def _response(self) -> health_pb2.HealthCheckResponse:
        serving = await _ready(self._service)
        return health_pb2.HealthCheckResponse(status="SERVING" if serving else "NOT_SERVING")


async def _ready(service: State) -> bool:
    return await asyncio.to_thread(service.lifecycle.ready)


OPEN = {"server_live", "server_ready"}


def _observed(
    service: State, method: Callable[[Any, Trace], Awaitable[Message]]
) -> Callable[[Any, Context], Awaitable[Message]]:
    """A method with what every request gets: key check, metrics, errors, trailers, log line."""

    async def answer(request: Any, context: Context) -> Message:  # noqa: ANN401 - any request
        given = dict(context.invocation_metadata() or ())
        trace: Trace = {}
        identifier = request_id(_text(given.get("x-request-id", "")))
        status = 500
        started = time.perf_counter()
        service.metrics.in_flight.inc()
        try:
            if service.settings.api_keys and method.__name__ not in OPEN:
                auth.check(service.settings, _bearer(_text(given.get("authorization", ""))))
            response = await method(request, trace)
            status = 200
        except ServiceError as error:
            status = error.status
            service.metrics.observe_rejection(error.code)
            message = f"{error.param}: {error.message}" if error.param else error.message
            context.set_trailing_metadata((("x-request-id", identifier),))
            await context.abort(STATUS[status], message)
            raise  # abort has raised already
        finally:
            service.metrics.in_flight.dec()
            seconds = time.perf_counter() - started
            service.metrics.observe_request(DOOR, "POST", status, seconds, identifier)
            log_request(identifier, DOOR, status, seconds, trace)
        trailers = [("x-request-id", identifier)]
        if "stages" in trace:
            trailers.append(("server-timing", server_timing(trace["stages"])))
        context.set_trailing_metadata(tuple(trailers))
        return response

    return answer


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value


def _bearer(header: str) -> bytes | None:
    scheme, _, key = header.partition(" ")
    return key.encode("latin-1", "replace") if scheme.lower() == "bearer" else None


def _parameters(given: Mapping[str, pb.InferParameter]) -> dict[str, object]:
    return {
        name: getattr(parameter, choice)
        for name, parameter in given.items()
        if (choice := parameter.WhichOneof("parameter_choice"))
    }


def _tensors(request: pb.ModelInferRequest) -> list[Tensor]:
    """The inputs, whose data is raw, in the order of the inputs, or in their contents."""
    raws = request.raw_input_contents
    if raws and len(raws) != len(request.inputs):
        raise InvalidRequest(f"{len(request.inputs)} inputs, but {len(raws)} raw_input_contents")
    given = []
    for index, tensor in enumerate(request.inputs):
        form = (tensor.name, tensor.datatype, tensor.shape)
        if raws:
            given.append(tensors.from_raw(*form, raws[index]))
        elif tensor.datatype == "BYTES":
            given.append(tensors.from_elements(*form, tensor.contents.bytes_contents))
        else:
            given.append(tensors.from_list(*form, list(tensor.contents.uint_contents)))
    return given
