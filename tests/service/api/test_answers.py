"""A request whose client leaves while its images are embedded."""

import asyncio
from concurrent.futures import Future
from types import SimpleNamespace

import pytest

from service.api.answers import Upload, embed_all
from service.errors import ClientLeft


def test_who_leaves_takes_the_images_along():
    futures = [Future(), Future()]
    embedder = SimpleNamespace(submit=lambda images, timeout_s: futures)
    service = SimpleNamespace(
        lifecycle=SimpleNamespace(embedder=embedder),
        settings=SimpleNamespace(max_images_per_request=8, request_timeout_s=60),
    )
    request = SimpleNamespace(app=SimpleNamespace(state=service), state=SimpleNamespace())

    async def leave() -> None:
        answer = asyncio.create_task(embed_all(request, [Upload(None, b""), Upload(None, b"")]))
        await asyncio.sleep(0)  # it runs until it waits for its images
        request.state.abandon()
        await answer

    with pytest.raises(ClientLeft):
        asyncio.run(leave())
    assert all(future.cancelled() for future in futures)
    assert not hasattr(request.state, "abandon")
