import ctypes
import os
import platform
from pathlib import Path

import pytest

from service import memory

CHUNK = 64 * 1024  # below what glibc maps one by one, which it unmaps by itself
CHUNKS = 1000


def resident() -> int:
    """Bytes that the process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="malloc_trim is glibc's")
def test_what_was_freed_below_something_kept_goes_back_to_the_system() -> None:
    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    libc.free.argtypes = [ctypes.c_void_p]
    chunks = [libc.malloc(CHUNK) for _ in range(CHUNKS)]
    for chunk in chunks:
        ctypes.memset(chunk, 1, CHUNK)
    *freed, kept = chunks
    for chunk in freed:
        libc.free(chunk)
    held = resident()
    memory.give_back()
    assert held - resident() > CHUNK * CHUNKS / 2
    libc.free(kept)
