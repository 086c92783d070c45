"""Makes file names safe to print on a terminal."""


def plain(text: str) -> str:
    """Text on one line, with control characters escaped."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in text
    )
