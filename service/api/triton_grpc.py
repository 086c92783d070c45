"""Triton's management calls over gRPC: the answers of `triton`, as messages."""

import asyncio
from collections.abc import Awaitable, Callable

from google.protobuf.json_format import ParseDict

from service.api import tensors, triton
from service.api.proto import open_inference_pb2 as pb
from service.api.state import RequestState, ServiceState
from service.engine.embedder import Embedder
from service.errors import InvalidRequest

UNSUPPORTED = {
    "RepositoryModelLoad": triton.ONE_MODEL,
    "RepositoryModelUnload": triton.ONE_MODEL,
    "SystemSharedMemoryStatus": triton.IN_REQUEST,
    "SystemSharedMemoryRegister": triton.IN_REQUEST,
    "SystemSharedMemoryUnregister": triton.IN_REQUEST,
    "CudaSharedMemoryStatus": triton.IN_REQUEST,
    "CudaSharedMemoryRegister": triton.IN_REQUEST,
    "CudaSharedMemoryUnregister": triton.IN_REQUEST,
    "TraceSetting": triton.TRACES,
    "LogSettings": triton.LOGS,
}
"""Methods that Triton's clients can call and that are not here, with what there is."""


class Management:
    """The methods that tell of the model."""

    def __init__(self, service: ServiceState) -> None:
        self._service = service

    async def model_config(
        self, request: pb.ModelConfigRequest, _: RequestState
    ) -> pb.ModelConfigResponse:
        embedder = self._embedder(request.name, request.version)
        return pb.ModelConfigResponse(
            config=ParseDict(triton.configuration(embedder.card), pb.ModelConfig())
        )

    async def model_statistics(
        self, request: pb.ModelStatisticsRequest, _: RequestState
    ) -> pb.ModelStatisticsResponse:
        embedder = self._embedder(request.name, request.version)
        page = self._service.metrics.page
        told = await asyncio.to_thread(triton.statistics, page, embedder.card.name)
        return ParseDict(told, pb.ModelStatisticsResponse())

    async def repository_index(
        self, _: pb.RepositoryIndexRequest, __: RequestState
    ) -> pb.RepositoryIndexResponse:
        models = triton.repository(self._service.lifecycle.embedder.card)
        return ParseDict({"models": models}, pb.RepositoryIndexResponse())

    def _embedder(self, name: str, version: str) -> Embedder:
        """What serves a model, which without a name is the only one.

        Raises:
            ModelNotFound: it is another.
        """
        embedder = self._service.lifecycle.embedder
        tensors.check_model(
            embedder.card, self._service.settings, name or embedder.card.name, version
        )
        return embedder


def refusing(
    method: str, instead: str
) -> Callable[[pb.UnsupportedRequest, RequestState], Awaitable[pb.UnsupportedRequest]]:
    """A method that says that it is not there, and what is."""

    async def unsupported(_: pb.UnsupportedRequest, __: RequestState) -> pb.UnsupportedRequest:
        raise InvalidRequest(f"{method} is not supported: {instead}")

    return unsupported
