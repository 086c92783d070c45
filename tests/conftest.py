import threading
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from model_export.checkpoints.seeded import seeded
from model_export.export import export
from service.api.app import create_app
from service.settings import Settings
from tests.support.skips import pytest_addoption, pytest_sessionfinish, pytest_terminal_summary
from tests.support.small_model import SMALL_MODEL

__all__ = ["pytest_addoption", "pytest_sessionfinish", "pytest_terminal_summary"]


@pytest.fixture(scope="session")
def artifact(tmp_path_factory) -> Path:
    """The paper's 32 x 32 example as a file: 128 numbers an image, in milliseconds."""
    path = tmp_path_factory.mktemp("models") / "small.onnx"
    export(SMALL_MODEL, seeded(SMALL_MODEL.architecture), path)
    return path


@pytest.fixture
def serve(artifact):
    """Start services in this process: call it with settings; the client it returns is ready."""
    running = []

    def start(**settings) -> TestClient:
        failed = threading.Event()
        app = create_app(Settings(**{"model": artifact} | settings), on_failure=failed.set)
        client = TestClient(app, raise_server_exceptions=False)
        client.__enter__()
        running.append(client)
        while not (failed.is_set() or app.state.service.lifecycle.ready()):
            failed.wait(0.01)
        assert app.state.service.lifecycle.failure is None, app.state.service.lifecycle.failure
        return client

    yield start
    for client in running:
        client.__exit__(None, None, None)


@pytest.fixture
def client(serve) -> TestClient:
    return serve()
