"""Names that others gave, as text for a terminal."""


def plain(text: str) -> str:
    """Text in one line, with escapes for what would move a cursor or change colours."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in text
    )
