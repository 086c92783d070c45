import pytest

from service.api.negotiation import best
from tests.support.images import encode, noise

OFFERS = ("application/json", "application/octet-stream", "application/x-npy")


@pytest.mark.parametrize(
    ("header", "chosen"),
    [
        ("", "application/json"),
        ("*/*", "application/json"),
        ("application/*", "application/json"),
        ("application/x-npy", "application/x-npy"),
        ("APPLICATION/X-NPY", "application/x-npy"),
        ("application/x-npy;q=0.5, application/octet-stream", "application/octet-stream"),
        ("application/x-npy ; q=0.5 , application/octet-stream;q=0.4", "application/x-npy"),
        ("text/html, application/xhtml+xml, */*;q=0.8", "application/json"),
        ("application/json;q=0, */*", "application/octet-stream"),
        ("application/*;q=0.9, application/x-npy;q=0.1", "application/json"),
        ("text/plain", None),
        ("*/*;q=0", None),
        ("application/json;q=high", None),
        ("application/json;q=2", None),
        ("application/json;q=nan", None),
        (",,", "application/json"),
    ],
)
def test_the_best_offer(header, chosen):
    assert best(header, OFFERS) == chosen


@pytest.mark.parametrize(
    ("path", "wanted"), [("/embed", OFFERS[2]), ("/metrics", "application/openmetrics-text")]
)
def test_lines_are_one_list(client, path, wanted):
    lines = [("Accept", "text/html"), ("Accept", wanted)]
    method, body = ("POST", encode(noise(4, 4))) if path == "/embed" else ("GET", None)
    answer = client.request(method, path, content=body, headers=lines)
    assert answer.headers["Content-Type"].startswith(wanted)
