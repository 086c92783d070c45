"""Errors that end a batch job; each message is one line that says what to do."""


class BatchError(Exception):
    """The job cannot go on."""


class SourceError(BatchError):
    """A source cannot be listed, or nothing in it can be read any more."""


class OutputError(BatchError):
    """The output cannot take these rows, or holds none."""


class ItemError(BatchError):
    """An image cannot be read, whatever its source does; it gets a row with this error."""


class ClusterError(BatchError):
    """The cluster cannot be used, or the job failed on it."""


def is_definite(error: Exception) -> bool:
    """Whether an error belongs to one image, and not to a source that has stopped answering."""
    definite = (
        FileNotFoundError,
        PermissionError,
        IsADirectoryError,
        NotADirectoryError,
        ValueError,  # what its line in a manifest says is no address
        ItemError,
    )
    status = getattr(error, "status", 0)  # aiohttp's
    asks_to_wait = status in {408, 425, 429}
    return isinstance(error, definite) or (400 <= status < 500 and not asks_to_wait)


def reason(error: Exception) -> str:
    """An error in one line; if a URL's protocol needs a package, how to install it."""
    if isinstance(error, ImportError) and isinstance(error.__cause__, ImportError):
        from model_export import extras

        if message := extras.missing(error.__cause__, "its protocol"):
            return message
    return " ".join(str(error).split()) or type(error).__name__
