"""CONTRIBUTING.md: the files it names are there, and the way of an image is as short as it says."""

import asyncio
import re
import sys
from pathlib import Path

import httpx
import pytest

from service.api.app import create_app
from service.settings import Settings
from tests.support.images import encode, noise

ROOT = Path(__file__).parents[1]
GUIDE = (ROOT / "CONTRIBUTING.md").read_text()


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`((?:\w+/)+(?:\w+\.\w+)?)`", GUIDE))))
def test_the_files_it_names_are_there(path):
    assert any((folder / path).exists() for folder in (ROOT, ROOT / "service"))


def test_the_way_of_an_image_is_as_short_as_it_says(artifact):
    modules, frames = map(
        int,
        re.findall(r"at most (\d+) of our modules, and our calls are at\s+most (\d+)", GUIDE)[0],
    )
    calls = asyncio.run(calls_of_a_request(artifact))
    last = max(at for at, stack in enumerate(calls) if stack[0].endswith("fair_queue.py"))
    passed = {stack[0] for stack in calls[: last + 1]}
    assert len(passed) <= modules, sorted(passed)
    assert len(max(calls, key=len)) <= frames, max(calls, key=len)


async def calls_of_a_request(artifact) -> list[list[str]]:
    """Our files on the stack, innermost first, at each call of ours for a request."""
    app = create_app(Settings(model=artifact, api_keys="key"))
    lifecycle = app.state.service.lifecycle
    calls = []

    def note(frame, event, _):
        if event == "call" and ours(frame):
            stack = []
            while frame is not None:
                stack += [frame.f_code.co_filename] if ours(frame) else []
                frame = frame.f_back
            if stack[-1].endswith("middleware.py"):  # of the request, not of what runs beside it
                calls.append(stack)

    async with app.router.lifespan_context(app), client_of(app) as client:
        await lifecycle.started.wait()
        sys.setprofile(note)
        try:
            answer = await client.post("/embed", content=encode(noise(64, 48), "JPEG"))
        finally:
            sys.setprofile(None)
    assert answer.status_code == 200
    return calls


def ours(frame) -> bool:
    return frame.f_code.co_filename.startswith(str(ROOT / "service"))


def client_of(app) -> httpx.AsyncClient:
    headers = {"Authorization": "Bearer key", "Content-Type": "image/jpeg"}
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://test", headers=headers
    )
