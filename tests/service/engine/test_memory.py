import ctypes
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from service.engine import memory
from tests.support.process import ROOT

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


FREED_BESIDE_KEPT = """
import ctypes, sys
from pathlib import Path
from service.engine import memory
from tests.support.process import ROOT
memory.lay_out_heaps(2)
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.free.argtypes = [ctypes.c_void_p]

def block(size):
    made = libc.malloc(size)
    ctypes.memset(made, 1, size)
    return made

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

libc.free(block(30 << 20))  # from here on glibc by itself keeps blocks of this size in the heap
before = resident()
kept, freed = [], []
for _ in range(20):
    freed.append(block(16 << 20))
    kept.append(block(1 << 17))
for one in freed:
    libc.free(one)
print(resident() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's")
def test_large_blocks_go_back_to_the_system_as_they_are_freed() -> None:
    """In a process of its own, as the setting stays."""
    program = [sys.executable, "-c", FREED_BESIDE_KEPT]
    done = subprocess.run(program, cwd=ROOT, stdout=subprocess.PIPE, check=True)
    assert int(done.stdout) < 16 << 20


FREED_AND_TAKEN_AGAIN = """
import ctypes, resource
from service.engine import memory
memory.lay_out_heaps(2)
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.free.argtypes = [ctypes.c_void_p]

def faults(size):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    made = libc.malloc(size)
    ctypes.memset(made, 1, size)
    libc.free(made)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

faults(4 << 20)
print(faults(4 << 20))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's")
def test_what_an_image_took_is_there_for_the_next_one() -> None:
    program = [sys.executable, "-c", FREED_AND_TAKEN_AGAIN]
    done = subprocess.run(program, cwd=ROOT, stdout=subprocess.PIPE, check=True)
    assert int(done.stdout) < 100  # of the 1024 pages
