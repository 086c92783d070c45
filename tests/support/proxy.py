"""A reverse proxy that serves a service below a prefix, as nginx does."""

import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.support.process import SOON


@contextmanager
def proxy(address: str, prefix: str, *, keeps: bool) -> Iterator[str]:
    """Serve what is at `address` below `prefix`, and nothing else; yields the proxy's address.

    Args:
        address: of the service.
        prefix: such as `/swin`.
        keeps: whether the service gets paths with the prefix or without it.
    """

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.pass_on(None)

        def do_POST(self) -> None:
            self.pass_on(self.rfile.read(int(self.headers["Content-Length"])))

        def pass_on(self, body: bytes | None) -> None:
            if not self.path.startswith(f"{prefix}/"):
                self.send_error(404)
                return
            path = self.path if keeps else self.path.removeprefix(prefix)
            request = urllib.request.Request(address + path, body, dict(self.headers))
            try:
                answer = urllib.request.urlopen(request, timeout=SOON)
            except urllib.error.HTTPError as error:
                answer = error
            with answer:
                whole = answer.read()
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    if name.lower() not in {"connection", "content-length", "date", "server"}:
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(whole)))
                self.end_headers()
                self.wfile.write(whole)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
