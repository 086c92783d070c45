"""The Open Inference Protocol over gRPC, and the standard health service, on `SWIN_GRPC_PORT`.

The same tensors, errors, keys, metrics and log line as over HTTP. Needs the `grpc` extra.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import grpc
from grpc_health.v1 import health_pb2_grpc

from model_export import __version__
from model_export.model_card import EMBEDDING, PIXELS
from service.api import tensors
from service.api.embedding_request import embed_all, timed_encoding
from service.api.encoding import rows
from service.api.grpc_calls import Calls
from service.api.grpc_health import SERVICE, Health, ready
from service.api.parsing import parse
from service.api.proto import open_inference_pb2 as pb
from service.api.state import RequestState, ServiceState
from service.api.tensors import Tensor
from service.api.triton_grpc import UNSUPPORTED, Management, refusing
from service.engine.embedder import Embedder
from service.errors import InvalidRequest, StartError
from service.settings import Settings

STREAMS = 128
"""Calls at once on one connection."""

LONGEST_MS = 3_600_000
"""After an hour a client is asked to connect anew, which spreads clients over new replicas."""

PING_MS = 5_000
"""A client may ping so often, with or without calls."""

logger = logging.getLogger(__name__)


async def start(service: ServiceState) -> grpc.aio.Server:
    """Serve on the port in the settings, until the server that is returned is stopped.

    Raises:
        StartError: the address cannot be had.
    """
    settings = service.settings
    server = grpc.aio.server(
        options=list(_options(settings).items()),
        maximum_concurrent_rpcs=settings.max_connections,
    )
    calls = Calls(service)
    door, management = _Door(service), Management(service)
    methods: dict[str, tuple[Callable[[Any, RequestState], Awaitable[Any]], Any]] = {
        "ServerLive": (door.server_live, pb.ServerLiveRequest),
        "ServerReady": (door.server_ready, pb.ServerReadyRequest),
        "ModelReady": (door.model_ready, pb.ModelReadyRequest),
        "ServerMetadata": (door.server_metadata, pb.ServerMetadataRequest),
        "ModelMetadata": (door.model_metadata, pb.ModelMetadataRequest),
        "ModelInfer": (door.model_infer, pb.ModelInferRequest),
        "ModelConfig": (management.model_config, pb.ModelConfigRequest),
        "ModelStatistics": (management.model_statistics, pb.ModelStatisticsRequest),
        "RepositoryIndex": (management.repository_index, pb.RepositoryIndexRequest),
    }
    for name, instead in UNSUPPORTED.items():
        methods[name] = (refusing(name, instead), pb.UnsupportedRequest)
    handlers = {name: calls.handler(method, request) for name, (method, request) in methods.items()}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    health_pb2_grpc.add_HealthServicer_to_server(Health(service), server)
    for host in settings.hosts:
        address = f"[{host}]" if ":" in host else host
        try:
            port = server.add_insecure_port(f"{address}:{settings.grpc_port}")
        except RuntimeError as error:
            raise StartError(
                f"SWIN_GRPC_PORT: cannot listen on {address}:{settings.grpc_port}"
            ) from error
        logger.info("gRPC running on %s:%d", address, port)
    await server.start()
    return server


def _options(settings: Settings) -> dict[str, int]:
    """How gRPC is to treat messages, connections and pings: the limits that HTTP has."""
    return {
        "grpc.max_receive_message_length": settings.max_request_bytes,
        "grpc.max_send_message_length": -1,
        "grpc.so_reuseport": 0,
        "grpc.max_concurrent_streams": STREAMS,
        "grpc.max_allowed_incoming_connections": settings.max_connections,
        "grpc.server_handshake_timeout_ms": round(settings.read_timeout_s * 1000),
        "grpc.max_connection_idle_ms": round(settings.keep_alive_s * 1000),
        "grpc.max_connection_age_ms": LONGEST_MS,
        "grpc.max_connection_age_grace_ms": round(settings.request_timeout_s * 1000),
        "grpc.keepalive_permit_without_calls": 1,
        "grpc.http2.min_ping_interval_without_data_ms": PING_MS,
    }


class _Door:
    """The methods; what they raise is answered by `Calls`.

    Each takes the request and its state, in which it notes what the log line should tell.
    """

    def __init__(self, service: ServiceState) -> None:
        self._service = service

    async def server_live(self, _: pb.ServerLiveRequest, __: RequestState) -> pb.ServerLiveResponse:
        return pb.ServerLiveResponse(live=True)

    async def server_ready(
        self, _: pb.ServerReadyRequest, __: RequestState
    ) -> pb.ServerReadyResponse:
        return pb.ServerReadyResponse(ready=await ready(self._service))

    async def model_ready(
        self, request: pb.ModelReadyRequest, _: RequestState
    ) -> pb.ModelReadyResponse:
        self._embedder(request.name, request.version)
        return pb.ModelReadyResponse(ready=await ready(self._service))

    async def server_metadata(
        self, _: pb.ServerMetadataRequest, __: RequestState
    ) -> pb.ServerMetadataResponse:
        return pb.ServerMetadataResponse(
            name="swin-embed", version=__version__, extensions=tensors.EXTENSIONS
        )

    async def model_metadata(
        self, request: pb.ModelMetadataRequest, _: RequestState
    ) -> pb.ModelMetadataResponse:
        card = self._embedder(request.name, request.version).card
        metadata = pb.ModelMetadataResponse.TensorMetadata
        return pb.ModelMetadataResponse(
            name=card.name,
            versions=[tensors.VERSION],
            platform=tensors.PLATFORM,
            inputs=[metadata(**tensor.model_dump()) for tensor in tensors.inputs(card)],
            outputs=[metadata(**tensor.model_dump()) for tensor in tensors.outputs(card)],
            properties=tensors.properties(card),
        )

    async def model_infer(
        self, request: pb.ModelInferRequest, state: RequestState
    ) -> pb.ModelInferResponse:
        embedder = self._embedder(request.model_name, request.model_version)
        card = embedder.card
        tensors.check_outputs([output.name for output in request.outputs])
        parameters = _parameters(request.parameters)
        normalize = tensors.normalize(parameters)
        longest_s = self._service.settings.request_timeout_s
        timeout_s = tensors.timeout_s(longest_s, tensors.timeout_us(parameters))
        most = self._service.settings.max_images_per_request
        uploads = tensors.uploads(await parse(state.received, _tensors, request, most), card)
        embeddings = await embed_all(self._service, state, embedder, uploads, timeout_s)
        with timed_encoding(self._service, state):
            vectors = rows(embeddings, normalize=normalize).array
            output = pb.ModelInferResponse.InferOutputTensor(
                name=EMBEDDING, datatype="FP32", shape=vectors.shape
            )
            return pb.ModelInferResponse(
                model_name=card.name,
                model_version=tensors.VERSION,
                id=request.id,
                outputs=[output],
                raw_output_contents=[vectors.tobytes()],
            )

    def _embedder(self, name: str, version: str) -> Embedder:
        embedder: Embedder = self._service.lifecycle.embedder
        tensors.check_model(embedder.card, self._service.settings, name, version)
        return embedder


def _parameters(given: Mapping[str, pb.InferParameter]) -> dict[str, object]:
    return {
        name: getattr(parameter, choice)
        for name, parameter in given.items()
        if (choice := parameter.WhichOneof("parameter_choice"))
    }


def _tensors(request: pb.ModelInferRequest, most: int) -> list[Tensor]:
    """The inputs, whose data is raw, in the order of the inputs, or in their contents."""
    raws = request.raw_input_contents
    if raws and len(raws) != len(request.inputs):
        raise InvalidRequest(f"{len(request.inputs)} inputs, but {len(raws)} raw_input_contents")
    if len(request.inputs) != 1:
        names = f"{tensors.IMAGE!r} or {PIXELS!r}"
        raise InvalidRequest(f"send one input, {names}, not {len(request.inputs)}")
    (tensor,) = request.inputs
    content_type = tensor.parameters["content_type"].string_param if tensor.parameters else None
    form = tensors.Form(most, content_type)
    shape = list(tensor.shape[: tensors.MAX_DIMENSIONS + 1])
    described = (tensor.name, tensor.datatype, shape)
    if raws:
        return [tensors.from_raw(*described, raws[0], form)]
    if tensor.datatype == "BYTES":
        contents = tensor.contents.bytes_contents
        return [tensors.from_elements(tensor.name, shape, contents, form)]
    return [tensors.from_numbers(*described, tensor.contents.uint_contents)]
