"""glibc's heaps: how they are laid out, and how unused memory goes back to the system."""

import contextlib
import ctypes
import gc

M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3
M_ARENA_MAX = -8
"""malloc.h of glibc."""

LARGE = 8 * 1024 * 1024
"""Blocks of more bytes are mapped separately, and this much of a heap's free end is kept. A JPEG is
decoded at a size that needs no more, at 4 bytes a pixel (`preprocess.DRAFT_MARGIN`)."""


def lay_out_heaps(cores: int) -> None:
    """Have glibc return large blocks to the system when they are freed, and keep room for others.

    By default glibc raises its threshold for separately mapped blocks when the first one is freed.
    Pillow's blocks of 16 MiB then lie in each thread's heap, and small blocks behind them keep the
    heap from shrinking. A fixed threshold prevents that. It also makes glibc return the end of a
    heap from 128 KiB on, so that every image would fault its pages in again: hence the second
    setting. The third limits the heaps to one a core; otherwise every idle thread would keep one.
    """
    with contextlib.suppress(AttributeError, OSError):  # another C library
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_THRESHOLD, LARGE)
        libc.mallopt(M_TRIM_THRESHOLD, LARGE)
        libc.mallopt(M_ARENA_MAX, cores)


def freeze() -> None:
    """Exclude all present objects from garbage collection; they live as long as the process.

    Otherwise they are all visited, with the interpreter lock held, whenever the objects of open
    connections have grown by a quarter of them.
    """
    gc.freeze()


def give_back() -> None:
    """Free unreachable objects, and return free memory to the system."""
    gc.unfreeze()
    gc.collect()
    trim()


def trim() -> None:
    """Have glibc give back what it keeps of freed memory, in the middle of its heaps too."""
    with contextlib.suppress(AttributeError, OSError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)
