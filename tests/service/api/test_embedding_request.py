"""A request whose client leaves while its images are embedded."""

import asyncio
import threading
from concurrent.futures import Future
from types import SimpleNamespace

import pytest

from service.api.embedding_request import Upload, embed_all
from service.api.state import RequestState
from service.engine.memory_budget import Charge, MemoryBudget
from service.engine.model import Model
from service.errors import ClientLeft
from tests.support.images import encode, noise


def test_who_leaves_takes_the_images_along():
    futures = [Future(), Future()]
    embedder = SimpleNamespace(submit=lambda images, timeout_s: futures)
    service = SimpleNamespace(settings=SimpleNamespace(max_images_per_request=8))
    state = RequestState("id", Charge(MemoryBudget(0)))
    uploads = [Upload(None, b""), Upload(None, b"")]

    async def leave() -> None:
        answer = asyncio.create_task(embed_all(service, state, embedder, uploads, 60))
        await asyncio.sleep(0)  # it runs until it waits for its images
        state.abandon()
        await answer

    with pytest.raises(ClientLeft):
        asyncio.run(leave())
    assert all(future.cancelled() for future in futures)
    assert state.abandon is None


@pytest.fixture
def waiting(serve, monkeypatch):
    """A service whose runs wait until told; yields its client and what tells them."""
    client = serve(streams=1, request_timeout_s=20)
    gate = threading.Event()
    run = Model.run

    def held(*arguments, **gear):
        gate.wait(20)
        return run(*arguments, **gear)

    monkeypatch.setattr(Model, "run", held)
    yield client, gate
    gate.set()


def test_a_client_may_ask_for_less_time_than_the_service_gives(waiting):
    client, gate = waiting
    image = encode(noise(8, 8))
    answer = client.post("/embed", content=image, headers={"X-Request-Timeout-Ms": "50"})
    assert answer.status_code == 504
    assert "0.05 s" in answer.json()["error"]["message"]
    gate.set()
    answer = client.post("/embed", content=image, headers={"X-Request-Timeout-Ms": "999999999"})
    assert answer.status_code == 200


@pytest.mark.parametrize("given", ["-1", "soon", "1.5", "", "9" * 10])
def test_a_timeout_is_a_number_of_milliseconds(client, given):
    headers = {"X-Request-Timeout-Ms": given}
    answer = client.post("/embed", content=encode(noise(8, 8)), headers=headers)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "X-Request-Timeout-Ms"
