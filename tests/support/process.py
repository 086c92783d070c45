"""`python -m service` in a process of its own, on a real socket."""

import os
import re
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOON = 60


@contextmanager
def running(program: tuple[str, ...] = ("-m", "service"), **settings):
    """A service on a free port; yields the process and its base address, once it is ready."""
    environment = {f"SWIN_{name.upper()}": str(value) for name, value in settings.items()}
    process = subprocess.Popen(
        [sys.executable, *program, "--port", "0"],
        env=os.environ | environment,
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )
    address = ""
    said = []
    for line in process.stderr:
        said.append(line)
        if found := re.search(r"running on (http://\S+)", line):
            address = found[1]
        if "lifecycle: ready" in line:
            break
    else:
        raise AssertionError(f"the service ended with {process.wait()}: {''.join(said)}")
    drained = threading.Thread(target=process.stderr.read)  # so that it never waits for us
    drained.start()
    try:
        yield process, address
    finally:
        process.kill()
        process.wait()
        drained.join()
        process.stderr.close()
