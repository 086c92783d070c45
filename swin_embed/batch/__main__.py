"""`swin-embed`: embed collections of images, search them, find their duplicates.

Exit status: 0 if every image has its vector, 3 if some have an error instead, 1 if the job could
not run or go on (what is written stays, and the same command goes on from there), 2 on a bad
option, 130 if interrupted.
"""

import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType

from service.command_line import SettingsError, misspelt
from service.errors import ArtifactError, DeviceError, ServiceError
from service.observability import logs
from swin_embed.batch.commands import duplicates, embed, search
from swin_embed.batch.errors import BatchError, reason

COMMANDS = {"embed": embed, "duplicates": duplicates, "search": search}


def main(arguments: Sequence[str] | None = None) -> int:
    given = list(sys.argv[1:] if arguments is None else arguments)
    name, rest = (given[0], given[1:]) if given[:1] and given[0] in COMMANDS else ("embed", given)
    command = COMMANDS[name]
    options = command.parser().parse_args(rest)
    logs.configure("console", "warning")
    signal.signal(signal.SIGTERM, _interrupt)
    for warning in misspelt(os.environ):
        _say(warning)
    try:
        status: int = command.run(options)
        return status
    except SettingsError as error:
        for problem in error.problems:
            _say(problem)
        return 2
    except (BatchError, ArtifactError, DeviceError, ServiceError, OSError) as error:
        _say(reason(error))
        return 1
    except KeyboardInterrupt:
        _say("interrupted" + "; the same command goes on from here" * (command is embed))
        return 130


def _say(text: str) -> None:
    print(f"swin-embed: {text}", file=sys.stderr)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
