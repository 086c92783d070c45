"""`POST /embeddings`: infinity's path, for infinity_client and LiteLLM's `infinity/`."""

from service.api.dialects.dialect import Dialect
from service.api.dialects.openai import DIALECT as OPENAI

DIALECT = Dialect(
    name="infinity",
    paths=("/embeddings",),
    body=OPENAI.body,
    answer=OPENAI.answer,
    summary="Embed images the way infinity's clients ask",
    example=OPENAI.example,
)
