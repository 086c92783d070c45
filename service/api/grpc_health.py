"""The standard gRPC health service, `grpc.health.v1`: serving is what ready is over HTTP."""

import asyncio
from collections.abc import AsyncIterator

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from service.api.grpc_calls import Context
from service.api.state import ServiceState

SERVICE = "inference.GRPCInferenceService"
"""The protocol's service, whose health may be asked for by name."""

WATCH_S = 1.0


class Health(health_pb2_grpc.HealthServicer):
    """Open to everyone, as the probes are."""

    def __init__(self, service: ServiceState) -> None:
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
            return
        told = None
        while True:
            response = await self._response()
            if response != told:
                yield response
            told = response
            await asyncio.sleep(WATCH_S)

    async def _response(self) -> health_pb2.HealthCheckResponse:
        serving = await ready(self._service)
        return health_pb2.HealthCheckResponse(status="SERVING" if serving else "NOT_SERVING")


async def ready(service: ServiceState) -> bool:
    """Whether requests should be sent here; asking may run the model, so it is for a thread."""
    return await asyncio.to_thread(service.lifecycle.ready)
