"""A stop has an order: nobody new, who is on the way, then the rest."""

import asyncio

import uvicorn

from service.api.app import create_app
from service.server import server
from service.settings import Settings


def test_nobody_is_let_in_before_the_listeners_close(artifact, monkeypatch):
    steps = []

    async def waited(seconds):
        steps.append(seconds)

    async def closed(_server, sockets=None):
        steps.append("close")

    settings = Settings(model=artifact)
    stopping = server.Server(create_app(settings), settings)
    monkeypatch.setattr(stopping, "drop_new_connections", lambda: steps.append("drop"))
    monkeypatch.setattr(server.asyncio, "sleep", waited)
    monkeypatch.setattr(uvicorn.Server, "shutdown", closed)
    asyncio.run(stopping.shutdown())
    assert steps == ["drop", server.ON_THE_WAY_S, "close"]


def test_limits_reach_uvicorn(artifact):
    settings = Settings(model=artifact, keep_alive_s=7, shutdown_grace_s=9)
    config = server.Server(create_app(settings), settings).config
    assert (config.timeout_keep_alive, config.timeout_graceful_shutdown) == (7, 9)
