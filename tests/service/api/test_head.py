import http.client

import pytest

from tests.service.api.test_health import samples
from tests.support.process import running

PATHS = ["/health/live", "/health/ready", "/metrics", "/docs", "/v1/models", "/v2", "/"]


@pytest.mark.parametrize("path", PATHS)
def test_wherever_there_is_get(client, path):
    answer = client.head(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == client.get(path).headers["content-type"]


def test_and_nowhere_else(client):
    answer = client.head("/embed")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


@pytest.mark.parametrize("path", PATHS)
def test_it_is_among_what_is_allowed(client, path):
    answer = client.put(path)
    assert answer.status_code == 405
    assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD"}


def test_it_is_counted_as_what_it_is(client):
    client.head("/health/live")
    assert samples(client)['swin_requests_total{door="health",method="HEAD",status="200"}'] == 1


def test_there_is_no_body_and_the_connection_goes_on(artifact):
    with running(model=artifact) as (_, address):
        connection = http.client.HTTPConnection(address.removeprefix("http://"))
        for method in ("HEAD", "GET", "HEAD"):
            connection.request(method, "/health/live")
            answer = connection.getresponse()
            assert answer.status == 200
            assert answer.read() == (b'{"live":true}' if method == "GET" else b"")
        connection.close()
