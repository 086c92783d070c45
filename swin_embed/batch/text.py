"""Makes file names safe to print on a terminal."""

from model_export import console


def plain(text: str) -> str:
    """Text on one line, with control characters escaped."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in text
    )


def printed(text: str) -> str:
    """Text for standard output: as it is for a file or another program, plain on a terminal."""
    return plain(text) if console.watched() else text
