"""Reads `multipart/form-data` into memory: the images of a form and its other fields."""

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from fastapi import Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from service.api.embedding_request import Upload
from service.api.state import service_state
from service.errors import InvalidRequest, TooManyImages

FILES = re.compile(r"(files?|images?)(\[\d*\])?")
"""Names of image parts; errors call them `files[0]`, `files[1]`, in their order."""

MAX_FIELDS = 16
"""The most parts besides the images."""


@dataclass
class Part:
    """A part of a form, in pieces as they arrived: a growing buffer would fragment memory."""

    headers: dict[bytes, bytes] = field(default_factory=dict)
    pieces: list[bytes] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The part's name in the form."""
        disposition = self.headers.get(b"content-disposition", b"")
        return parse_options_header(disposition)[1].get(b"name", b"").decode("utf-8", "replace")


class _Parts:
    """Collects the parts of a form; the parser calls these methods as it reads."""

    CALLBACKS: ClassVar = ("part_begin", "part_data", "header_field", "header_value", "header_end")

    def __init__(self, most: int) -> None:
        self.parts: list[Part] = []
        self.ended = False
        self._most = most
        self._header: list[bytes] = [b"", b""]

    def on_part_begin(self) -> None:
        if len(self.parts) == self._most + MAX_FIELDS:
            raise TooManyImages(
                f"the form has more than {self._most} images and {MAX_FIELDS} other parts"
            )
        self.parts.append(Part())

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        self.parts[-1].pieces.append(data[start:end])

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header[0] += data[start:end]

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header[1] += data[start:end]

    def on_header_end(self) -> None:
        name, value = self._header
        self.parts[-1].headers[name.lower()] = value
        self._header = [b"", b""]

    def on_end(self) -> None:
        self.ended = True


async def read_form(
    request: Request, parameters: Collection[str]
) -> tuple[list[Upload], dict[str, str]]:
    """The images of a form, in order, and its fields of these names.

    Raises:
        InvalidRequest: the form breaks off or cannot be read, has no image, or has other parts.
        TooManyImages: more images than `SWIN_MAX_IMAGES_PER_REQUEST`.
    """
    most = service_state(request).settings.max_images_per_request
    parts = await _parts(request, most)
    uploads: list[Upload] = []
    fields: dict[str, str] = {}
    for part in parts:
        name = part.name
        if not FILES.fullmatch(name) and name not in parameters:
            raise InvalidRequest(_found(parts, parameters), param=name[:100])
        if name in fields:
            raise InvalidRequest("the form has two fields of this name", param=name)
        data = b"".join(part.pieces)
        part.pieces.clear()
        if name in parameters:
            fields[name] = data[:100].decode("utf-8", "replace")
        else:
            uploads.append(Upload(f"files[{len(uploads)}]", data))
    if not uploads:
        raise InvalidRequest(_found(parts, parameters), param="files")
    return uploads, fields


def _found(parts: Sequence[Part], parameters: Collection[str]) -> str:
    """What a form has, and what it may have."""
    names = dict.fromkeys(repr(part.name[:50]) for part in parts)
    return (
        f"the form has {', '.join(names) or 'no parts'}; "
        f"call images files, beside them there may be {' and '.join(parameters)}"
    )


async def _parts(request: Request, most: int) -> list[Part]:
    _, options = parse_options_header(request.headers["content-type"])
    boundary = options.get(b"boundary", b"")
    if not boundary:
        raise InvalidRequest("the form's Content-Type has no boundary")
    reading = _Parts(most)
    callbacks: dict[str, Callable[..., None]] = {
        f"on_{name}": getattr(reading, f"on_{name}") for name in (*reading.CALLBACKS, "end")
    }
    try:
        parser = MultipartParser(boundary, callbacks)  # type: ignore[arg-type]
        async for chunk in request.stream():
            parser.write(chunk)
    except FormParserError as error:
        raise InvalidRequest(f"the form cannot be read: {error}") from error
    if not reading.ended:
        raise InvalidRequest("the form cannot be read: it ends before its closing boundary")
    return reading.parts
