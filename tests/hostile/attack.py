"""Posts hostile images to a server through every door, and a good photo after every 50th."""

import base64
import http.client
import json
import threading
import time
import urllib.parse
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from tests.hostile.corpus import Sample

EVERY = 50
PATIENCE_S = 60


@dataclass
class Report:
    """What came back."""

    answers: Counter[tuple[str, int]] = field(default_factory=Counter)
    longest_s: float = 0
    longest: str = ""
    photos: int = 0
    vectors: set[bytes] = field(default_factory=set)

    def statuses(self) -> Counter[int]:
        """How often each status was seen; 0 is a connection that broke."""
        counts: Counter[int] = Counter()
        for (_, status), count in self.answers.items():
            counts[status] += count
        return counts


class Attack:
    """Clients that share a stream of samples and a report."""

    def __init__(self, address: str, photo: bytes) -> None:
        self._host = urllib.parse.urlsplit(address).netloc
        self._photo = photo
        self._lock = threading.Lock()
        self.report = Report()

    def run(self, samples: Iterator[Sample], count: int, clients: int) -> None:
        """Post the next `count` samples."""
        share = islice(samples, count)
        numbers = iter(range(count))
        threads = [
            threading.Thread(target=self._client, args=(share, numbers)) for _ in range(clients)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _client(self, samples: Iterator[Sample], numbers: Iterator[int]) -> None:
        while True:
            with self._lock:
                sample, number = next(samples, None), next(numbers, 0)
            if sample is None:
                return
            self._post(sample, number)
            if number % EVERY == EVERY - 1:
                self._check_photo()

    def _post(self, sample: Sample, number: int) -> None:
        started = time.monotonic()
        status = self._send(*_request(sample, number))[0]
        took = time.monotonic() - started
        with self._lock:
            self.report.answers[sample.kind, status] += 1
            if took > self.report.longest_s:
                self.report.longest_s, self.report.longest = took, sample.kind

    def _check_photo(self) -> None:
        headers = {"Content-Type": "image/jpeg", "Accept": "application/octet-stream"}
        status, vector = self._send("/embed", headers, self._photo)
        with self._lock:
            self.report.photos += 1
            self.report.vectors.add(vector if status == 200 else b"status %d" % status)

    def _send(self, path: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(self._host, timeout=PATIENCE_S)
        try:
            connection.request("POST", path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException):
            return 0, b""
        finally:
            connection.close()


def _request(sample: Sample, number: int) -> tuple[str, dict[str, str], bytes]:
    """The sample as one of the doors takes it: mostly as a body, in turn in a form or as base64."""
    match number % 8:
        case 0:
            boundary = b"----hostile"
            head = b'\r\nContent-Disposition: form-data; name="files"; filename="../../x"\r\n\r\n'
            body = b"--" + boundary + head + sample.data + b"\r\n--" + boundary + b"--\r\n"
            kind = f"multipart/form-data; boundary={boundary.decode()}"
            return "/embed", {"Content-Type": kind}, body
        case 1:
            body = json.dumps({"input": base64.b64encode(sample.data).decode()}).encode()
            return "/v1/embeddings", {"Content-Type": "application/json"}, body
        case _:
            return "/embed", {"Content-Type": sample.content_type}, sample.data


def resident_mib(pid: int) -> float:
    """A process's resident memory, in MiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024
