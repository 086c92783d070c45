"""Memory that the process holds and does not use."""

import contextlib
import ctypes
import gc


def give_back() -> None:
    """Have what nobody refers to any more freed, and glibc give it back to the system."""
    gc.collect()
    with contextlib.suppress(AttributeError, OSError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)
