"""`python -m service`: serve a model until told to stop; `doctor` examines it, `tune` times it.

Exit status: 0 after SIGTERM or SIGINT, 1 if the model, the device or the address cannot be used or
the engine hangs, 2 on a bad setting, 128 and its number after a second signal. SIGHUP loads the
model file again.
"""

import faulthandler
import logging
import os
import sys
from collections.abc import Sequence
from typing import Any

import click

from model_export import console
from service.command_line import GroupedCommand, misspelt, settings_from, with_settings
from service.errors import ArtifactError, DeviceError
from service.observability import logs
from service.settings import Settings

logger = logging.getLogger("service")


@click.command(cls=GroupedCommand)
@with_settings
def command(**given: Any) -> int:  # noqa: ANN401 - every setting
    """Images to Swin Transformer embeddings over HTTP.

    Each option can also be set in the environment: --max-batch-size 8 is SWIN_MAX_BATCH_SIZE=8.
    Where both are given the option counts. Two more commands: `python -m service doctor` says what
    would run here, or what is missing; `python -m service tune` times layouts of threads.
    """
    return serve(settings_from(**given))


def serve(settings: Settings) -> int:
    """Serve until told to stop; the exit status."""
    logs.configure(settings.log_format, settings.log_level)
    for warning in misspelt(os.environ):
        logger.warning(warning)
    # What runs models is imported once it is needed: `--help` does without.
    from service.engine import memory, memory_plan, model, resources
    from service.server import server

    model.existing(settings.model)  # before the log tells of anything else
    memory.lay_out_heaps(resources.usable_cores())
    faulthandler.enable()  # a crash in native code then says in which thread, and where
    settings = memory_plan.fit(settings)
    logger.info(logs.limits(settings))
    if settings.workers > 1:
        from service.server.workers import supervisor

        return server.exit_status(supervisor.run(settings))

    def give_up() -> None:
        serving.should_exit = True

    from service.api.app import create_app

    settings = server.cap_connections(settings)
    app = create_app(settings, on_failure=give_up)
    serving = server.Server(app, settings)
    serving.run()
    return server.exit_status(app.state.service.lifecycle.failure)


def main(arguments: Sequence[str] | None = None) -> int:
    others = {"doctor": "service.doctor:command", "tune": "service.tune:command"}
    foreseen = (ArtifactError, DeviceError)
    return console.run(command, arguments, "python -m service", foreseen, others)


if __name__ == "__main__":
    sys.exit(main())
