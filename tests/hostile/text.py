"""Sends hostile text to a server, to each HTTP door and over gRPC, and watches what it costs."""

import http.client
import itertools
import urllib.parse
from collections import Counter
from collections.abc import Iterator
from contextlib import closing

import grpc

from tests.hostile.bodies import MODEL, Hostile, bodies, variations
from tests.hostile.cost import Probe, cpu_s, status_of
from tests.hostile.messages import METHOD, HostileMessage, message_variations, messages
from tests.service.api.test_clients import free_port
from tests.support.images import jpeg
from tests.support.process import running

SIZE = 1_000_000
EVERY = 25
WARM_UP = 500
GROWTH = 1.10
NAME = "swin_nano_patch4_window7_224"
INTENDED = {503}
GRPC_BUGS = {"UNKNOWN", "INTERNAL"}

Sample = Hostile | HostileMessage


def samples(seed: int, count: int) -> Iterator[Sample]:
    """Large ones of every kind, then small ones of both protocols in turn."""
    large = [*bodies(SIZE), *messages(NAME, SIZE)]
    small = (
        one
        for pair in zip(variations(seed, count), message_variations(NAME, seed, count), strict=True)
        for one in pair
    )
    return itertools.islice(itertools.chain(large, small), count)


class TextAttack:
    """One client that sends samples, and counts what comes back.

    Attributes:
        answers: how often each status was seen, by protocol.
        bad: samples whose answer is a bug.
        vectors: of the good photo.
        photos: how often it was sent.
        slowest: the longest that a probe took while a sample was answered, and its kind.
        peak_mib: the most resident memory that was seen after an answer.
    """

    def __init__(self, pid: int, address: str, port: int, key: str | None) -> None:
        self._pid = pid
        self._host = urllib.parse.urlsplit(address).netloc
        limits = [("grpc.max_send_message_length", -1)]
        self._channel = grpc.insecure_channel(f"127.0.0.1:{port}", limits)
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._metadata = [("authorization", f"Bearer {key}")] if key else []
        self._photo = jpeg("astronaut")
        self._probe = Probe(self._host)
        self._probe.start()
        self.answers: Counter[str] = Counter()
        self.bad: list[str] = []
        self.vectors: set[bytes] = set()
        self.photos = 0
        self.slowest = (0.0, "")
        self.peak_mib = 0.0

    def run(self, given: Iterator[Sample], *, keyed: bool) -> None:
        """Send samples, with the key or without."""
        for number, sample in enumerate(given, 1):
            self._probe.longest_s = 0.0
            if isinstance(sample, Hostile):
                status = str(self._post(sample, keyed=keyed))
                bug = status == "0" or (status[0] == "5" and int(status) not in INTENDED)
            else:
                status = self._call(sample, keyed=keyed)
                bug = status in GRPC_BUGS
            self.answers[status] += 1
            if bug:
                self.bad.append(f"{sample.kind}: {status}")
            self.slowest = max(self.slowest, (self._probe.longest_s, sample.kind))
            self.peak_mib = max(self.peak_mib, status_of(self._pid, "VmRSS"))
            if number % EVERY == 0:
                self._check_photo()

    def _post(self, sample: Hostile, *, keyed: bool) -> int:
        headers = sample.headers | (self._headers if keyed else {})
        return self._request(sample.path.replace(MODEL, NAME), sample.body, headers)[0]

    def _request(self, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        with closing(http.client.HTTPConnection(self._host, timeout=120)) as connection:
            try:
                connection.request("POST", path, body, headers)
                answer = connection.getresponse()
                return answer.status, answer.read()
            except (OSError, http.client.HTTPException):
                return 0, b""

    def _call(self, sample: HostileMessage, *, keyed: bool) -> str:
        call = self._channel.unary_unary(METHOD + sample.method)
        try:
            call(sample.data, metadata=self._metadata if keyed else [], timeout=120)
        except grpc.RpcError as error:
            return str(error.code().name)
        return "OK"

    def _check_photo(self) -> None:
        headers = {"Content-Type": "image/jpeg", "Accept": "application/octet-stream"}
        status, vector = self._request("/embed", self._photo, headers | self._headers)
        self.photos += 1
        self.vectors.add(vector if status == 200 else b"status %d" % status)


def attack(model: str, seed: int, count: int, key: str | None) -> tuple[list[str], bool]:
    """Send samples to a server of their own.

    Returns:
        What became of them, in lines, and whether all is well.
    """
    port = free_port()
    settings = {"api_keys": key} if key else {}
    with running(model=model, grpc_port=port, **settings) as (process, address):
        sender = TextAttack(process.pid, address, port, key)
        given = samples(seed, count)
        # With keys, a third comes without one.
        sender.run(itertools.islice(given, WARM_UP), keyed=True)
        warm = status_of(process.pid, "VmRSS")
        sender.run(itertools.islice(given, count // 3), keyed=not key)
        sender.run(given, keyed=True)
        end = status_of(process.pid, "VmRSS")
        alive = process.poll() is None
        spent = cpu_s(process.pid)
    probe_s, kind = sender.slowest
    lines = [
        f"{sender.answers.total()} hostile texts, {'with' if key else 'without'} keys",
        f"answers {dict(sender.answers.most_common())}; server alive: {alive}",
        f"{sender.photos} good photos, {len(sender.vectors)} distinct vectors",
        f"resident memory {warm:.0f} MiB after warm-up, {sender.peak_mib:.0f} at most, "
        f"{end:.0f} at the end; {spent:.0f} s of CPU",
        f"slowest of the probes, which came every 20 ms: {probe_s * 1000:.0f} ms ({kind})",
        f"5xx but 503, and broken connections: {sender.bad or 'none'}",
    ]
    return lines, alive and not sender.bad and len(sender.vectors) == 1 and end <= GROWTH * warm
