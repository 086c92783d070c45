"""The web application: doors, errors, middleware, and the lifecycle behind them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

from fastapi import FastAPI

from service.api import embed, errors, health, models
from service.api.middleware import Bounded, Observed
from service.lifecycle import Lifecycle
from service.metrics import Metrics
from service.settings import Settings


def create_app(settings: Settings, on_failure: Callable[[], None] = lambda: None) -> FastAPI:
    """A service that loads its model in the background once it runs.

    Args:
        settings: every knob.
        on_failure: called if the model cannot be loaded; `app.state.lifecycle.failure` says why.
    """
    metrics = Metrics()
    lifecycle = Lifecycle(settings, metrics)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        starting = asyncio.create_task(lifecycle.start())
        starting.add_done_callback(lambda _: on_failure() if lifecycle.failure else None)
        yield
        await starting
        await lifecycle.stop()

    app = FastAPI(
        title="swin-embed",
        summary="Swin Transformer image embeddings",
        lifespan=lifespan,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
    )
    app.state.settings = settings
    app.state.metrics = metrics
    app.state.lifecycle = lifecycle
    errors.install(app)
    for door in (embed, models, health):
        app.include_router(door.router)
    app.add_middleware(Bounded, limit=settings.max_request_bytes)
    app.add_middleware(Observed, metrics=metrics)
    return app
