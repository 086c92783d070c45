"""Swin Transformer embeddings from Python: `Embedder`, `AsyncEmbedder`, `export`.

    from swin_embed import Embedder

    with Embedder() as embedder:
        vectors = embedder.embed(["cat.jpg", "dog.webp"])

What is named here is imported when it is used: the command line starts without it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from model_export.making import make as export
    from service.errors import ImageTooLarge, InvalidImage
    from swin_embed.embedder import AsyncEmbedder, Embedder

__all__ = ["AsyncEmbedder", "Embedder", "ImageTooLarge", "InvalidImage", "export"]

_PLACES = {
    "AsyncEmbedder": ("swin_embed.embedder", "AsyncEmbedder"),
    "Embedder": ("swin_embed.embedder", "Embedder"),
    "ImageTooLarge": ("service.errors", "ImageTooLarge"),
    "InvalidImage": ("service.errors", "InvalidImage"),
    "export": ("model_export.making", "make"),
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever is named
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _PLACES[name]
    try:
        return getattr(import_module(module), attribute)
    except ModuleNotFoundError as error:
        from model_export import extras

        if (message := extras.missing(error, f"swin_embed.{name}")) is None:
            raise
        raise ModuleNotFoundError(message, name=error.name) from None
