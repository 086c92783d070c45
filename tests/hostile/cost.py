"""What each hostile body costs: `python -m tests.hostile.cost [--size BYTES] [--only WORD]`.

Starts the server of the working directory, sends one body after the other, and prints for each the
status, the memory it took at its peak, what of it was left after, the CPU, and the longest that the
event loop kept a probe waiting, which comes every 20 ms.
"""

import argparse
import http.client
import os
import threading
import time
import urllib.parse
from pathlib import Path

from tests.hostile.bodies import MODEL, Hostile, bodies
from tests.support.process import running

MIB = 1 << 20


def status_of(pid: int, name: str) -> float:
    """A line of /proc/PID/status, in MiB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith(f"{name}:"))
    return int(line.split()[1]) / 1024


def cpu_s(pid: int) -> float:
    """Seconds of CPU that a process has had."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Probe(threading.Thread):
    """Asks for /health/live every 20 ms and remembers the longest answer since it was asked."""

    def __init__(self, host: str) -> None:
        super().__init__(daemon=True)
        self.longest_s = 0.0
        self._host = host

    def run(self) -> None:
        connection = http.client.HTTPConnection(self._host, timeout=120)
        while True:
            started = time.monotonic()
            connection.request("GET", "/health/live")
            connection.getresponse().read()
            self.longest_s = max(self.longest_s, time.monotonic() - started)
            time.sleep(0.02)


def send(host: str, name: str, hostile: Hostile) -> str:
    """The status of the answer, or what went wrong."""
    connection = http.client.HTTPConnection(host, timeout=120)
    try:
        path = hostile.path.replace(MODEL, name)
        connection.request("POST", path, hostile.body, hostile.headers)
        answer = connection.getresponse()
        return f"{answer.status} {answer.read()[:90].decode(errors='replace')}"
    except (OSError, UnicodeEncodeError, http.client.HTTPException) as error:
        return f"--- {type(error).__name__}: {error}"
    finally:
        connection.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=16_000_000)
    parser.add_argument("--only", default="")
    parser.add_argument("--name", default="swin_nano_patch4_window7_224")
    options = parser.parse_args()
    with running(model=Path(os.environ["SWIN_MODEL"]).resolve()) as (process, address):
        host = urllib.parse.urlsplit(address).netloc
        probe = Probe(host)
        probe.start()
        for hostile in bodies(options.size):
            if options.only not in hostile.kind:
                continue
            Path(f"/proc/{process.pid}/clear_refs").write_text("5")  # the peak begins anew
            before, spent = status_of(process.pid, "VmRSS"), cpu_s(process.pid)
            probe.longest_s = 0.0
            answer = send(host, options.name, hostile)
            time.sleep(0.1)
            print(
                f"{status_of(process.pid, 'VmHWM') - before:7.0f} MiB"
                f" {status_of(process.pid, 'VmRSS') - before:6.0f} left"
                f" {1000 * probe.longest_s:7.0f} ms {cpu_s(process.pid) - spent:6.2f} s"
                f"  {len(hostile.body) / MIB:5.1f} MiB  {hostile.kind}: {answer}",
                flush=True,
            )


if __name__ == "__main__":
    main()
