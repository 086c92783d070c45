"""`python -m service`: serve a model until told to stop; `python -m service doctor`: examine it.

Exit status: 0 after SIGTERM or SIGINT, 1 if the model, the device or the address cannot be had or
the engine hangs, 2 on a bad setting. SIGHUP loads the model file again.
"""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from types import FrameType

import uvicorn
from fastapi import FastAPI
from pydantic import ValidationError
from pydantic_settings import CliApp

from service import doctor, logs
from service.app import create_app
from service.errors import ArtifactError, DeviceError, EngineError, StartError
from service.settings import Settings


class Server(uvicorn.Server):
    """uvicorn, with our way to stop: the first signal drains, the second ends at once; status 0."""

    app: FastAPI

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle SIGTERM and SIGINT, and don't raise them again when all is done."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.handle_exit)
        reload = self.app.state.lifecycle.ask_reload
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reload)
        yield

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Drain, or stop waiting if already draining."""
        self.force_exit = self.should_exit
        self.should_exit = True
        self.app.state.lifecycle.drain()


def main() -> int:
    if sys.argv[1:2] == ["doctor"]:
        return doctor.main(sys.argv[2:])
    try:
        settings = CliApp.run(Settings)
    except ValidationError as error:
        for problem in error.errors():
            setting = "SWIN_" + "_".join(map(str, problem["loc"])).upper()
            print(f"{setting}: {problem['msg']}", file=sys.stderr)
        return 2
    logs.configure(settings.log_format, settings.log_level)

    def give_up() -> None:
        server.should_exit = True

    app = create_app(settings, on_failure=give_up)
    server = Server(
        uvicorn.Config(
            app,
            host=settings.host,
            port=settings.port,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=round(settings.shutdown_grace_s),
        )
    )
    server.app = app
    server.run()
    failure = app.state.lifecycle.failure
    if failure is None:
        return 0
    if not isinstance(failure, ArtifactError | DeviceError | EngineError | StartError):
        raise failure
    print(f"swin-embed: {failure}", file=sys.stderr, flush=True)
    if isinstance(failure, EngineError):
        os._exit(1)  # a thread that hangs in native code would keep the interpreter from ending
    return 1


if __name__ == "__main__":
    sys.exit(main())
