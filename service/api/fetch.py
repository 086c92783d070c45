"""Images by address, off by default: from allowed hosts, over public addresses, bounded.

The name is resolved once, every address it has is checked, and the connection goes to one of those:
a name that resolves differently a moment later changes nothing. Redirects are followed by hand,
each checked as the first address was. Needs the `urls` extra.
"""

import asyncio
import ipaddress
import re
import socket
import ssl
import urllib.parse
from collections.abc import Awaitable, Callable, Iterable, Sequence

import httpcore2

from service.errors import InvalidRequest, RequestTooLarge
from service.settings import Settings

MAX_REDIRECTS = 3
REDIRECTS = {301, 302, 303, 307, 308}
DEFAULT_PORTS = {"http": 80, "https": 443}
HEADERS = (
    (b"Accept", b"image/*"),
    (b"Accept-Encoding", b"identity"),
    (b"User-Agent", b"swin-embed"),
)

UNFIT = re.compile(r"[^\x21-\x7e]|\\")
NAT64 = (ipaddress.IPv6Network("64:ff9b::/96"), ipaddress.IPv6Network("64:ff9b:1::/48"))
INNER = (
    ipaddress.ip_network("168.63.129.16/32"),  # global, but answered by Azure's hosts
    ipaddress.ip_network("192.0.0.0/24"),
    ipaddress.ip_network("192.88.99.0/24"),
    ipaddress.ip_network("3fff::/20"),
    ipaddress.ip_network("fec0::/10"),
)
"""Not of the public internet, though not all of Python's versions, or none, say so."""
IPV4_COMPATIBLE = ipaddress.IPv6Network("::/96")

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]


class Refused(InvalidRequest):
    """An address that images are not fetched from."""


async def resolve(host: str, port: int) -> list[str]:
    """Every address of a name, as the system's resolver has them."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


def is_public(address: str) -> bool:
    """Whether an address is one of the public internet, and so is any IPv4 address inside it."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.scope_id is not None:
            return False
        if not all(is_public(str(inner)) for inner in _embedded(ip)):
            return False
        if ip.ipv4_mapped is not None:
            return True
    if any(ip in network for network in INNER):
        return False
    return ip.is_global and not ip.is_multicast and not ip.is_reserved


def _embedded(ip: ipaddress.IPv6Address) -> Iterable[ipaddress.IPv4Address]:
    if ip.ipv4_mapped is not None:
        yield ip.ipv4_mapped
    if ip.sixtofour is not None:
        yield ip.sixtofour
    if ip.teredo is not None:
        yield from ip.teredo
    if ip in IPV4_COMPATIBLE or any(ip in network for network in NAT64):
        yield ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)


class _Pinned(httpcore2.AsyncNetworkBackend):
    """Connects to the checked address of a name; the name itself stays for TLS and `Host`."""

    def __init__(self, resolve: Resolve, backend: httpcore2.AsyncNetworkBackend) -> None:
        self._resolve = resolve
        self._backend = backend

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the interface's
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        addresses = await self._resolve(host, port)
        if not addresses or not all(map(is_public, addresses)):
            raise Refused(f"{host} is not on the public internet")
        return await self._backend.connect_tcp(
            addresses[0], port, timeout, local_address, socket_options
        )


class Fetcher:
    """Fetches images from the hosts that the settings allow."""

    def __init__(
        self,
        settings: Settings,
        resolve: Resolve = resolve,
        backend: httpcore2.AsyncNetworkBackend | None = None,
    ) -> None:
        self._hosts = {host.lower() for host in settings.image_url_hosts}
        self._limit = settings.max_request_bytes
        self._timeout_s = settings.image_url_timeout_s
        self._backend = _Pinned(resolve, backend or httpcore2.AnyIOBackend())
        self._tls = ssl.create_default_context()

    async def fetch(self, url: str) -> bytes:
        """The body behind an http or https URL.

        Raises:
            Refused: the address, or one it redirects to, is not allowed.
            RequestTooLarge: more bytes than a request may have.
            InvalidRequest: it cannot be had, or not in time.
        """
        try:
            async with asyncio.timeout(self._timeout_s):
                for _ in range(MAX_REDIRECTS + 1):
                    body, location = await self._get(url)
                    if location is None:
                        return body
                    url = urllib.parse.urljoin(url, location)
        except TimeoutError:
            raise InvalidRequest(f"not fetched within {self._timeout_s:g} s") from None
        except (OSError, UnicodeError, httpcore2.NetworkError, httpcore2.ProtocolError) as error:
            raise InvalidRequest(f"cannot be fetched: {type(error).__name__}") from error
        raise Refused(f"redirected more than {MAX_REDIRECTS} times")

    async def _get(self, url: str) -> tuple[bytes, str | None]:
        """The body, or where to go instead."""
        address = self._checked(url)
        pool = httpcore2.AsyncConnectionPool(self._tls, network_backend=self._backend)
        async with pool, pool.stream("GET", address, headers=HEADERS) as response:
            if response.status in REDIRECTS:
                locations = [
                    value for name, value in response.headers if name.lower() == b"location"
                ]
                return b"", locations[0].decode("latin-1") if locations else ""
            if response.status != 200:
                raise InvalidRequest(f"cannot be fetched: the host answers {response.status}")
            body = bytearray()
            async for chunk in response.aiter_stream():
                body += chunk
                if len(body) > self._limit:
                    raise RequestTooLarge(f"the image has more than {self._limit} bytes")
            return bytes(body), None

    def _checked(self, url: str) -> httpcore2.URL:
        """An URL taken apart once; what is connected to is made of these parts and no other."""
        if UNFIT.search(url):
            raise Refused("the URL has characters that are to be percent-encoded")
        try:
            parts = urllib.parse.urlsplit(url)
            host, port = (parts.hostname or "").lower(), parts.port
        except ValueError as error:
            raise Refused("this is not a URL") from error
        if parts.scheme not in DEFAULT_PORTS:
            raise Refused("images are fetched over http and https")
        if parts.username is not None or parts.password is not None:
            raise Refused("the URL has a user name in it")
        named = f"{host}:{port}" if port is not None else host
        if port in {None, 80, 443}:
            allowed = bool(self._hosts & {host, "*"})
        else:
            allowed = named in self._hosts
        if not host or not allowed:
            raise Refused(f"images are not fetched from {named} (SWIN_IMAGE_URL_HOSTS)")
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return httpcore2.URL(
            scheme=parts.scheme,
            host=host,
            port=DEFAULT_PORTS[parts.scheme] if port is None else port,
            target=target,
        )
