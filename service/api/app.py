"""The web application: doors, errors, middleware, and the lifecycle behind them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING

from fastapi import APIRouter, Depends, FastAPI
from starlette.middleware.cors import CORSMiddleware

from model_export import extras
from service.api import (
    admin,
    dialect_doors,
    docs,
    embed,
    errors,
    health,
    metrics,
    models,
    open_inference,
    openapi,
    playground,
    triton,
)
from service.api.auth import authorise
from service.api.middleware import HeadAsGet, RequestLog, ShutdownResponse
from service.api.open_inference_messages import InferRequest
from service.api.state import ServiceState
from service.engine import memory_plan, placement
from service.engine.lifecycle import Lifecycle
from service.engine.memory_budget import MemoryBudget
from service.engine.placement import Placement
from service.errors import StartError
from service.observability import otlp, traces
from service.observability.metrics import Metrics
from service.settings import Settings

if TYPE_CHECKING:
    import grpc

    from service.api.fetch import Fetcher

READABLE_HEADERS = [
    "Inference-Header-Content-Length",
    "Retry-After",
    "Server-Timing",
    "X-Embedding-Scales",
    "X-Embedding-Shape",
    "X-Model-Digest",
    "X-Request-Id",
]
"""Answer headers that pages of other origins may read."""


def create_app(
    settings: Settings,
    on_failure: Callable[[], None] = lambda: None,
    load: Callable[[Settings], Placement] = placement.load,
) -> FastAPI:
    """The service's application, which loads its model in the background once it runs.

    Its `app.state.service` is a `ServiceState`.

    Args:
        settings: of the service.
        on_failure: called if the model cannot be loaded or the engine cannot be brought back;
            the lifecycle's `failure` says why.
        load: loads the model.
    """
    metrics = Metrics()
    if settings.memory_budget_bytes is None:
        settings = memory_plan.fit(settings)
    lifecycle = Lifecycle(settings, metrics, load)
    budget = MemoryBudget(settings.memory_budget_bytes or 0)
    metrics.watch_memory(budget.limit, lambda: budget.held)
    service = ServiceState(settings, metrics, lifecycle, budget, lifecycle.reload)
    app = FastAPI(
        title="swin-embed",
        summary="Swin Transformer image embeddings",
        lifespan=_lifespan(service, on_failure),
        redirect_slashes=False,  # the host that a client names is not ours to send it to
        openapi_url=None,  # api/openapi.py serves it as bytes that are made once
        docs_url=None,  # api/docs.py serves it without a third host
        redoc_url=None,
        telemetry=traces.telemetry(),
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
    )
    app.state.service = service
    if traces.metrics_wanted():
        otlp.export(metrics.registry)
    errors.install(app)
    _add_doors(app, settings)
    openapi.install(app, [*dialect_doors.documented(), InferRequest])
    _add_middleware(app, settings)
    return app


def _lifespan(
    service: ServiceState, on_failure: Callable[[], None]
) -> Callable[[FastAPI], contextlib.AbstractAsyncContextManager[None]]:
    """Start and stop the engine, the fetcher and gRPC."""
    lifecycle = service.lifecycle

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        starting = asyncio.create_task(lifecycle.start())
        watching = asyncio.create_task(lifecycle.watch())
        giving_back = asyncio.create_task(service.budget.give_back())
        for task in (starting, watching):
            task.add_done_callback(lambda _: on_failure() if lifecycle.failure else None)
        grpc_server = None
        try:
            service.fetcher = _fetcher(service.settings)
            if service.settings.grpc_port is not None:
                grpc_server = await _start_grpc(service)
        except StartError as error:
            lifecycle.failure = error
            on_failure()
        yield
        giving_back.cancel()
        watching.cancel()  # the threads of the engine are about to end
        if grpc_server is not None:
            await grpc_server.stop(lifecycle.grace_left_s())
        await lifecycle.stop()

    return lifespan


def _add_doors(app: FastAPI, settings: Settings) -> None:
    guard = [Depends(authorise)] if settings.api_keys else []
    dialects = APIRouter()
    dialect_doors.add_doors(dialects)
    for one in (embed.router, dialects, triton.router, open_inference.router, models.router):
        app.include_router(one, dependencies=guard)
    app.include_router(metrics.router, dependencies=guard if settings.protect_metrics else [])
    if settings.admin:
        app.include_router(admin.router, dependencies=guard)
    for door in (docs, health, playground):
        app.include_router(door.router)
    app.include_router(open_inference.probes)


def _add_middleware(app: FastAPI, settings: Settings) -> None:
    """Add middleware; a request passes the last one added first."""
    app.add_middleware(HeadAsGet)
    app.add_middleware(ShutdownResponse)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST"],
            allow_headers=["*"],
            expose_headers=READABLE_HEADERS,
        )
    app.add_middleware(RequestLog)


def _fetcher(settings: Settings) -> "Fetcher | None":
    if not settings.allow_image_urls:
        return None
    try:
        from service.api.fetch import Fetcher
    except ImportError as error:
        raise StartError(
            f"SWIN_ALLOW_IMAGE_URLS needs the urls extra: {extras.how_to_install('urls')}"
        ) from error
    return Fetcher(settings)


async def _start_grpc(service: ServiceState) -> "grpc.aio.Server":
    try:
        from service.api import open_inference_grpc
    except ImportError as error:
        raise StartError(
            f"SWIN_GRPC_PORT needs the grpc extra: {extras.how_to_install('grpc')}"
        ) from error
    return await open_inference_grpc.start(service)
