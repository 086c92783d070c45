"""Pages of thumbnails, each a single HTML file: hits of a search, duplicates."""

import base64
import html
import io
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path, PurePosixPath

from service.errors import ImageTooLarge, InvalidImage
from service.images.preprocess import thumbnail
from swin_embed.batch import sources
from swin_embed.batch.duplicates import Group
from swin_embed.batch.facts import Picture, is_file
from swin_embed.batch.search import Hit

SIDE = 240
"""Longest side of a thumbnail, in pixels; twice that are kept, for dense screens."""

MOST_GROUPS = 500
"""Groups on a page: some 20 MB."""

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{title}</title>
<style>
  :root {{ --page: #fafaf9; --surface: #fff; --text: #1c1f23; --muted: #5b636c; --line: #dfe2e5;
    --accent: #2458a6; color-scheme: light dark }}
  @media (prefers-color-scheme: dark) {{ :root {{ --page: #121416; --surface: #1a1d20;
    --text: #e8eaec; --muted: #9ba4ad; --line: #31363b; --accent: #8fb8f2 }} }}
  body {{ max-width: 92rem; margin: 0 auto; padding: 1.5rem clamp(1rem, 3vw, 2.5rem) 4rem;
    background: var(--page); color: var(--text); font: 15px/1.5 system-ui, sans-serif;
    font-variant-numeric: tabular-nums }}
  h1 {{ margin: 0; font-size: 1.25rem }}
  h2 {{ margin: 0 0 .75rem; font-size: .9375rem; font-weight: 600 }}
  p {{ margin: .25rem 0 1.5rem; color: var(--muted) }}
  section {{ margin: 0 0 1rem; padding: 1rem; border: 1px solid var(--line); border-radius: 10px;
    background: var(--surface) }}
  ol {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(min(180px, 42vw), 1fr));
    gap: 1rem; margin: 0; padding: 0; list-style: none }}
  figure {{ margin: 0 }}
  img, .none {{ display: block; width: 100%; height: 160px; object-fit: contain; border-radius: 6px;
    background: var(--page) }}
  .none {{ display: grid; place-items: center; color: var(--muted) }}
  .keep img, .keep .none {{ outline: 2px solid var(--accent); outline-offset: 1px }}
  figcaption {{ margin-top: .375rem; overflow-wrap: anywhere; color: var(--muted);
    font-size: .8125rem; line-height: 1.35 }}
  figcaption b {{ color: var(--text) }}
  .keep b {{ color: var(--accent) }}
  a {{ color: inherit; text-underline-offset: .2em; text-decoration-thickness: 1px }}
</style>
<h1>{title}</h1>
<p>{about}</p>
{sections}
"""


def hits(
    queries: Sequence[tuple[bytes, str]], found: Sequence[Hit], about: str, max_pixels: int
) -> str:
    """The page of a search: the queries, and each hit's image, cosine and path; images of no more
    than `max_pixels`."""
    asked = [_item(data, "query", name, "", max_pixels) for data, name in queries]
    with ThreadPoolExecutor() as pool:
        shown = pool.map(partial(_hit, max_pixels), found)
        sections = [_section("Nearest to", asked), _section("Found", shown)]
    return _page(f"{len(found)} of {about}", "Most alike first.", sections)


def groups(found: Sequence[Group], summary: str, rule: str, max_pixels: int) -> str:
    """The page of duplicates: group by group, the image to keep first."""
    with ThreadPoolExecutor() as pool:
        sections = list(pool.map(partial(_group, max_pixels), found[:MOST_GROUPS]))
    about = f"To keep, framed: {rule}. A copy's number is its cosine to the one to keep."
    if len(found) > MOST_GROUPS:
        about += f" The {MOST_GROUPS} groups that take the most are shown."
    return _page(summary, about, sections)


def cosine(value: float) -> str:
    """A cosine as text; only a cosine of 1 is shown as 1."""
    return f"{min(value, 0.9999) if value < 1 - 1e-6 else 1:.4f}"


def weight(size: int | None) -> str:
    """A size in readable units; empty if it is not known."""
    if size is None:
        return ""
    for unit, least in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= least:
            return f"{size / least:.1f} {unit}"
    return f"{size} B"


def _group(max_pixels: int, group: Group) -> str:
    def member(picture: Picture, head: str, mark: str = "") -> str:
        facts = f"{picture.width} x {picture.height} {weight(picture.size)}"
        return _item(
            _read(picture.path, picture.sha256), head, picture.path, facts, max_pixels, mark
        )

    copies = (
        member(copy.picture, "exact copy" if copy.exact else cosine(copy.cosine))
        for copy in group.copies
    )
    count = len(group.copies)
    what = f"{count} {'copy' if count == 1 else 'copies'}"
    title = f"{what}, {weight(group.spare)}" if group.spare else what
    return _section(title, [member(group.keep, "keep", "keep"), *copies])


def _hit(max_pixels: int, hit: Hit) -> str:
    return _item(_read(hit.path), cosine(hit.cosine), hit.path, "", max_pixels)


def _page(title: str, about: str, sections: Sequence[str]) -> str:
    shown = "\n".join(sections)
    return PAGE.format(title=html.escape(title), about=html.escape(about), sections=shown)


def _section(title: str, items: Iterable[str]) -> str:
    return f"<section><h2>{html.escape(title)}</h2><ol>{''.join(items)}</ol></section>"


def _read(path: str, sha256: str | None = None) -> bytes:
    try:
        return sources.read(path, sha256)
    except Exception:  # it may be gone, another, or far away: the sheet says so in its place
        return b""


def _item(data: bytes, head: str, path: str, facts: str, max_pixels: int, mark: str = "") -> str:
    name = PurePosixPath(path).name
    shown = _thumbnail(data, max_pixels)
    picture = (
        f'<img src="{shown}" alt="{html.escape(name)}" loading="lazy">'
        if shown
        else '<div class="none">not readable any more</div>'
    )
    link = _link(path)
    titled = f'<span title="{html.escape(path)}">{html.escape(name)}</span>'
    if link:
        start = f'<a href="{html.escape(link)}">'
        picture, titled = f"{start}{picture}</a>", f"{start}{titled}</a>"
    return (
        f'<li class="{mark}"><figure>{picture}<figcaption><b>{head}</b> {html.escape(facts)}<br>'
        f"{titled}</figcaption></figure></li>"
    )


def _link(path: str) -> str:
    """A URL that opens an image, where it is a file of its own."""
    if path.startswith(("https://", "http://")):
        return path
    return Path(path).as_uri() if is_file(path) else ""


def _thumbnail(data: bytes, max_pixels: int) -> str | None:
    """An image as the model sees it, upright, as a small JPEG in a data URI; None of none."""
    small = jpeg(data, SIDE * 2, max_pixels)
    return f"data:image/jpeg;base64,{base64.b64encode(small).decode()}" if small else None


def jpeg(data: bytes, side: int, max_pixels: int) -> bytes | None:
    """An image as the model sees it, upright, as a JPEG no larger than `side`; None of none."""
    try:
        image = thumbnail(data, side, max_pixels)
    except (ImageTooLarge, InvalidImage):
        return None
    small = io.BytesIO()
    image.save(small, "JPEG", quality=80)
    return small.getvalue()
