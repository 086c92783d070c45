"""`multipart/form-data`: the files of a form, kept in memory as they come."""

import io

from fastapi import Request
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from typing_extensions import Buffer

from service.api.embedding_request import Upload
from service.api.state import service_state
from service.errors import InvalidRequest, TooManyImages
from service.settings import Settings


class _Pieces(io.BytesIO):
    """A file of a form as the pieces it came in: a growing buffer leaves holes in memory."""

    _rolled = False  # what UploadFile asks to know whether writing needs a thread

    def __init__(self) -> None:
        super().__init__()
        self._pieces: list[bytes] = []

    def write(self, piece: Buffer) -> int:
        self._pieces.append(bytes(piece))
        return len(self._pieces[-1])

    def read(self, size: int | None = -1) -> bytes:
        """All of it, whatever `size`, and only once."""
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)


class _FormParser(MultiPartParser):
    """Keeps files in memory: the body is bounded, and the file system may be read-only."""

    def __init__(self, request: Request, settings: Settings) -> None:
        super().__init__(
            request.headers, request.stream(), max_files=settings.max_images_per_request
        )
        self._ended = False

    async def parse(self) -> FormData:
        form = await super().parse()
        if not self._ended:
            raise MultiPartException("it ends before its closing boundary")
        return form

    def on_end(self) -> None:
        self._ended = True

    def on_headers_finished(self) -> None:
        super().on_headers_finished()
        if self._current_part.file is not None:
            self._current_part.file.file = _Pieces()

    def close(self) -> None:
        """Let go of all files, of parts that broke off too."""
        for file in self._files_to_close_on_error:
            file.close()


async def form_files(request: Request) -> list[Upload]:
    """The parts named `files`, in order; each names itself `files[0]`, `files[1]` in errors.

    Raises:
        InvalidRequest: the form breaks off or cannot be read, or has no such part, or one is text.
        TooManyImages: more files than `SWIN_MAX_IMAGES_PER_REQUEST`.
    """
    settings = service_state(request).settings
    parser = _FormParser(request, settings)
    try:
        form = await parser.parse()
        files = form.getlist("files")
        if not files:
            raise InvalidRequest("the form has no file part named files", param="files")
        return [await _upload(f"files[{i}]", file) for i, file in enumerate(files)]
    except MultiPartException as error:
        if error.message.startswith("Too many files"):
            raise TooManyImages(error.message) from error
        raise InvalidRequest(f"the form cannot be read: {error.message}") from error
    except UnicodeError as error:  # of codecs that are hardly for text, such as punycode
        raise InvalidRequest("the form's charset cannot be read; leave it out") from error
    finally:
        parser.close()


async def _upload(param: str, file: UploadFile | str) -> Upload:
    if isinstance(file, str):
        raise InvalidRequest("this part is no file: it has no filename", param=param)
    return Upload(param, await file.read())
