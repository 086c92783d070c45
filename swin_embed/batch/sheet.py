"""A contact sheet: a query and what was found for it, as one HTML file without anything beside."""

import base64
import html
import io
from collections.abc import Sequence
from pathlib import PurePosixPath

from service.errors import ImageTooLarge, InvalidImage
from service.images.preprocess import thumbnail
from swin_embed.batch import sources
from swin_embed.batch.search import Hit

SIDE = 240
"""Longest side of a thumbnail, in pixels."""

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
  body {{ font: 15px/1.4 system-ui, sans-serif; margin: 2rem; color: #222; background: #fafafa }}
  h1 {{ font-size: 1.2rem; font-weight: 600 }}
  ol, .query {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(180px, 1fr));
    gap: 1.2rem; padding: 0; list-style: none }}
  figure {{ margin: 0 }}
  img, .none {{ width: 100%; height: 180px; object-fit: contain; background: #eee;
    border-radius: 6px; display: block }}
  .none {{ display: grid; place-items: center; color: #666 }}
  figcaption {{ overflow-wrap: anywhere; font-size: .8rem; color: #555 }}
  figcaption b {{ color: #222; font-size: .95rem }}
  @media (prefers-color-scheme: dark) {{
    body {{ color: #eee; background: #161616 }} figcaption {{ color: #aaa }}
    figcaption b {{ color: #eee }} img, .none {{ background: #262626 }}
  }}
</style>
<h1>Nearest to</h1>
<div class="query">{query}</div>
<h1>{title}</h1>
<ol>
{hits}
</ol>
"""


def page(query: bytes, name: str, hits: Sequence[Hit], about: str, max_pixels: int) -> str:
    """The page: the query's image and name, and each hit's image, cosine and path; images of no
    more than `max_pixels`."""
    shown = _figure(query, "query", name, max_pixels)
    items = "\n".join(
        f"<li>{_figure(_image_of(hit.path), f'{hit.cosine:.4f}', hit.path, max_pixels)}</li>"
        for hit in hits
    )
    title = f"{len(hits)} of {about}"
    return PAGE.format(title=html.escape(title), query=shown, hits=items)


def _image_of(path: str) -> bytes:
    try:
        return sources.read(path)
    except Exception:  # it may be gone, or far away: the sheet says so in its place
        return b""


def _figure(data: bytes, head: str, path: str, max_pixels: int) -> str:
    name = PurePosixPath(path).name
    shown = _thumbnail(data, max_pixels)
    picture = (
        f'<img src="{shown}" alt="{html.escape(name)}">'
        if shown
        else '<div class="none">not readable any more</div>'
    )
    return (
        f"<figure>{picture}<figcaption><b>{head}</b><br>"
        f'<span title="{html.escape(path)}">{html.escape(name)}</span></figcaption></figure>'
    )


def _thumbnail(data: bytes, max_pixels: int) -> str | None:
    """An image as the model sees it, upright, as a small JPEG in a data URI; None of none."""
    try:
        image = thumbnail(data, SIDE * 2, max_pixels)
    except (ImageTooLarge, InvalidImage):
        return None
    small = io.BytesIO()
    image.save(small, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(small.getvalue()).decode()}"
