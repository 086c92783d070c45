"""Returning memory that the process does not use to the system."""

import contextlib
import ctypes
import gc

M_MMAP_THRESHOLD = -3
"""malloc.h of glibc."""

LARGE = 4 * 1024 * 1024
"""Bytes of a block that is mapped by itself."""


def keep_large_blocks_apart() -> None:
    """Have glibc map each large block by itself, so that freeing it gives its memory back.

    Left alone glibc does so only until the first of them is freed, and for larger ones than that
    from then on: the blocks of 16 MiB in which Pillow keeps pixels then lie in each thread's heap,
    and small ones that follow them keep it from shrinking.
    """
    with contextlib.suppress(AttributeError, OSError):  # another C library
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, LARGE)


def give_back() -> None:
    """Have what nobody refers to any more freed, and glibc give it back to the system."""
    gc.collect()
    with contextlib.suppress(AttributeError, OSError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)
