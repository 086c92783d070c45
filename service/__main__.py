"""`python -m service`: serve a model until told to stop; `doctor` examines it, `tune` times it.

Exit status: 0 after SIGTERM or SIGINT, 1 if the model, the device or the address cannot be used or
the engine hangs, 2 on a bad setting, 128 and its number after a second signal. SIGHUP loads the
model file again.
"""

import faulthandler
import logging
import os
import sys

from service.command_line import SettingsError, misspelt, read
from service.observability import logs
from service.settings import Settings

logger = logging.getLogger("service")


def main() -> int:
    # What runs models is imported once it is needed: `--help` does without.
    if sys.argv[1:2] == ["doctor"]:
        from service import doctor

        return doctor.main(sys.argv[2:])
    if sys.argv[1:2] == ["tune"]:
        from service import tune

        return tune.main(sys.argv[2:])
    try:
        settings = read(sys.argv[1:])
    except SettingsError as error:
        print(*error.problems, sep="\n", file=sys.stderr)
        return 2
    logs.configure(settings.log_format, settings.log_level)
    for warning in misspelt(os.environ):
        logger.warning(warning)
    return serve(settings)


def serve(settings: Settings) -> int:
    """Serve until told to stop; the exit status."""
    from service.engine import memory, resources
    from service.server import server

    memory.lay_out_heaps(resources.usable_cores())
    faulthandler.enable()  # a crash in native code then says in which thread, and where
    sys.setswitchinterval(resources.SWITCH_S)
    if settings.workers > 1:
        from service.server.workers import supervisor

        return server.exit_status(supervisor.run(settings))

    def give_up() -> None:
        serving.should_exit = True

    from service.api.app import create_app

    settings = server.fit(settings)
    app = create_app(settings, on_failure=give_up)
    serving = server.Server(app, settings)
    serving.run()
    return server.exit_status(app.state.service.lifecycle.failure)


if __name__ == "__main__":
    sys.exit(main())
