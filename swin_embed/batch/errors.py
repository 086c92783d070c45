"""What ends a batch job; the message is one line that says what to do."""


class BatchError(Exception):
    """The job cannot go on."""


class SourceError(BatchError):
    """A source cannot be listed, or nothing in it can be read any more."""


class OutputError(BatchError):
    """The output cannot take these rows, or holds none."""


class ClusterError(BatchError):
    """The cluster cannot be used, or the job failed on it."""


def reason(error: Exception) -> str:
    """An error in one line."""
    return " ".join(str(error).split()) or type(error).__name__
