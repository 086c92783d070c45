"""What can go wrong in an export that the person running it can put right."""


def printable(text: str) -> str:
    """A text with names from a file in it, without what would control a terminal."""
    return "".join(c if c.isprintable() else "\ufffd" for c in text)


class ExportError(Exception):
    """An export that must not go on; the message is one line and says what to do about it."""

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


class UnknownArchitectureError(ExportError):
    """A name that the catalogue does not have."""


class CheckpointError(ExportError):
    """A checkpoint that cannot be read, or that does not hold the architecture asked for."""


class OutputError(ExportError):
    """A place where the artifact cannot be written."""


class VerificationError(ExportError):
    """An artifact that computes something else than the network it was made from."""


class CalibrationError(ExportError):
    """A folder of images that cannot be measured with."""


class ArtifactError(ExportError):
    """A file that is not an artifact, or not one that can be compared with another."""
