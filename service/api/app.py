"""The web application: doors, errors, middleware, and the lifecycle behind them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING

from fastapi import Depends, FastAPI
from starlette.datastructures import State
from starlette.middleware.cors import CORSMiddleware

from service.api import (
    admin,
    docs,
    embed,
    errors,
    health,
    metrics,
    models,
    open_inference,
    openai,
    openapi,
    playground,
)
from service.api.auth import authorise
from service.api.direct import Direct
from service.api.head import HeadAsGet
from service.api.middleware import BodyLimit, RequestLog, ShutdownResponse
from service.engine import placement
from service.engine.lifecycle import Lifecycle
from service.engine.placement import Loaded
from service.errors import StartError
from service.observability import traces
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
"""What a page of another origin may read of an answer, besides the usual."""


def create_app(
    settings: Settings,
    on_failure: Callable[[], None] = lambda: None,
    load: Callable[[Settings], Loaded] = placement.load,
) -> FastAPI:
    """A service that loads its model in the background once it runs.

    Args:
        settings: of the service.
        on_failure: called if the model cannot be loaded or the engine cannot be brought back;
            `app.state.lifecycle.failure` says why.
        load: loads the model.
    """
    watched = Metrics()
    lifecycle = Lifecycle(settings, watched, load)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        starting = asyncio.create_task(lifecycle.start())
        watching = asyncio.create_task(lifecycle.watch())
        for task in (starting, watching):
            task.add_done_callback(lambda _: on_failure() if lifecycle.failure else None)
        grpc_server = None
        try:
            app.state.fetcher = _fetcher(settings)
            if settings.grpc_port is not None:
                grpc_server = await _start_grpc(app.state)
        except StartError as error:
            lifecycle.failure = error
            on_failure()
        yield
        watching.cancel()  # the threads of the engine are about to end
        if grpc_server is not None:
            await grpc_server.stop(lifecycle.grace_left_s())
        await lifecycle.stop()

    app = FastAPI(
        title="swin-embed",
        summary="Swin Transformer image embeddings",
        lifespan=lifespan,
        redirect_slashes=False,  # the host that a client names is not ours to send it to
        docs_url=None,  # api/docs.py serves it without a third host
        redoc_url=None,
        telemetry=traces.CONFIG,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
    )
    app.state.settings = settings
    app.state.metrics = watched
    app.state.lifecycle = lifecycle
    app.state.reload = lifecycle.reload
    app.state.fetcher = None
    errors.install(app)
    guard = [Depends(authorise)] if settings.api_keys else []
    for door in (embed, openai, open_inference, models):
        app.include_router(door.router, dependencies=guard)
    app.include_router(metrics.router, dependencies=guard if settings.protect_metrics else [])
    if settings.admin:
        app.include_router(admin.router, dependencies=guard)
    for door in (docs, health, playground):
        app.include_router(door.router)
    app.include_router(open_inference.probes)
    openapi.install(app)
    app.mount(docs.ASSETS, docs.files)
    app.add_middleware(HeadAsGet)
    app.add_middleware(Direct, routes=[*embed.router.routes, *openai.router.routes])
    app.add_middleware(BodyLimit, limit=settings.max_request_bytes)
    app.add_middleware(ShutdownResponse)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST"],
            allow_headers=["*"],
            expose_headers=READABLE_HEADERS,
        )
    app.add_middleware(RequestLog, metrics=watched)
    return app


def _fetcher(settings: Settings) -> "Fetcher | None":
    if not settings.allow_image_urls:
        return None
    try:
        from service.api.fetch import Fetcher
    except ImportError as error:
        raise StartError(
            "SWIN_ALLOW_IMAGE_URLS needs the urls extra: pip install swin-embed[urls]"
        ) from error
    return Fetcher(settings)


async def _start_grpc(service: State) -> "grpc.aio.Server":
    try:
        from service.api import open_inference_grpc
    except ImportError as error:
        raise StartError(
            "SWIN_GRPC_PORT needs the grpc extra: pip install swin-embed[grpc]"
        ) from error
    return await open_inference_grpc.start(service)
