"""`POST /embed`: an image as the body, or a form with many; the door for people and curl."""

import time
from typing import Annotated

import orjson
from fastapi import APIRouter, Query, Request
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.responses import Response

from service.api.answers import Upload, embed_all, embedder, unit_length
from service.errors import InvalidRequest, TooManyImages, UnsupportedMediaType
from service.metrics import Metrics
from service.settings import Settings

router = APIRouter(tags=["embed"])

ACCEPTED = (
    "send an image (Content-Type: image/* or application/octet-stream) or multipart/form-data"
)


@router.post(
    "/embed",
    summary="Embed one image or several",
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "image/*": {"schema": {"type": "string", "format": "binary"}},
                "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
                "multipart/form-data": {
                    "schema": {
                        "type": "object",
                        "required": ["files"],
                        "properties": {
                            "files": {
                                "type": "array",
                                "items": {"type": "string", "format": "binary"},
                            }
                        },
                    }
                },
            },
        }
    },
)
async def embed(
    request: Request,
    normalize: Annotated[bool, Query(description="scale vectors to unit length")] = True,
) -> Response:
    """Embed the body, or each `files` part of a form, in order."""
    uploads = await _uploads(request)
    embeddings = await embed_all(request, uploads)
    started = time.monotonic()
    vectors = [embedding.vector for embedding in embeddings]
    if normalize:
        vectors = [unit_length(vector) for vector in vectors]
    card = embedder(request).card
    answer = {"model": card.name, "dimensions": card.embedding_dim, "embeddings": vectors}
    body = orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)
    metrics: Metrics = request.app.state.metrics
    metrics.encode.observe(time.monotonic() - started)
    return Response(body, media_type="application/json")


async def _uploads(request: Request) -> list[Upload]:
    content_type = request.headers.get("content-type", "application/octet-stream")
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type == "multipart/form-data":
        return await _form_files(request)
    if not media_type.startswith("image/") and media_type != "application/octet-stream":
        raise UnsupportedMediaType(f"cannot embed {media_type}: {ACCEPTED}")
    body = await request.body()
    if not body:
        raise InvalidRequest(f"the body is empty: {ACCEPTED}")
    return [Upload(None, body)]


class _FormParser(MultiPartParser):
    """Keeps files in memory: the body is bounded, and the file system may be read-only."""

    def __init__(self, request: Request, settings: Settings) -> None:
        super().__init__(
            request.headers, request.stream(), max_files=settings.max_images_per_request
        )
        self.spool_max_size = settings.max_request_bytes

    def close(self) -> None:
        """Let go of all files, of parts that broke off too."""
        for file in self._files_to_close_on_error:
            file.close()


async def _form_files(request: Request) -> list[Upload]:
    settings: Settings = request.app.state.settings
    parser = _FormParser(request, settings)
    try:
        form = await parser.parse()
        files = [file for file in form.getlist("files") if isinstance(file, UploadFile)]
        if not files:
            raise InvalidRequest("the form has no file part named files", param="files")
        return [Upload(f"files[{i}]", await file.read()) for i, file in enumerate(files)]
    except MultiPartException as error:
        if error.message.startswith("Too many files"):
            raise TooManyImages(error.message) from error
        raise InvalidRequest(f"the form cannot be read: {error.message}") from error
    finally:
        parser.close()
