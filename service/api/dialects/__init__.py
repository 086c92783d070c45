"""Other services' ways to ask for embeddings: JSON in, JSON out, a file for each."""

from service.api.dialects import azure, cohere, infinity, kserve, openai, voyage, weaviate
from service.api.dialects.dialect import Dialect

DIALECTS: tuple[Dialect, ...] = (
    openai.DIALECT,
    infinity.DIALECT,
    azure.DIALECT,
    cohere.DIALECT,
    voyage.DIALECT,
    weaviate.DIALECT,
    weaviate.CLIP,
    kserve.DIALECT,
)
"""All that are served; a new one is a file here and a line in this list."""
