"""Returning memory that the process does not use to the system."""

import contextlib
import ctypes
import gc

M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3
M_ARENA_MAX = -8
"""malloc.h of glibc."""

LARGE = 8 * 1024 * 1024
"""Bytes of a block that is mapped by itself, and of a heap's free end that is kept: a JPEG is
decoded at a size that takes no more, at 4 bytes a pixel (`preprocess.DRAFT_MARGIN`)."""


def lay_out_heaps(cores: int) -> None:
    """Have glibc give large blocks back as they are freed, and keep room for the others.

    Left alone glibc maps large blocks by themselves only until the first of them is freed, and
    larger ones than that from then on: the blocks of 16 MiB in which Pillow keeps pixels then lie
    in each thread's heap, and small ones that follow them keep it from shrinking. Once told what is
    large, it gives back the end of a heap from 128 KiB on, so that every image would fault its
    pages in anew. Threads share a heap a core: those that wait would keep one each.
    """
    with contextlib.suppress(AttributeError, OSError):  # another C library
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_THRESHOLD, LARGE)
        libc.mallopt(M_TRIM_THRESHOLD, LARGE)
        libc.mallopt(M_ARENA_MAX, cores)


def freeze() -> None:
    """Have the garbage collector pass by what is there now, which stays for as long as the process.

    It would go through all of it, with the interpreter lock held, whenever the objects of those
    who are connected have grown by a quarter of it.
    """
    gc.freeze()


def give_back() -> None:
    """Have what nobody refers to any more freed, and glibc give it back to the system."""
    gc.unfreeze()
    gc.collect()
    with contextlib.suppress(AttributeError, OSError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)
