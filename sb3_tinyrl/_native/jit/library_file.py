"""Whether a file is a shared library for this machine, from what its first bytes say, without loading it."""

from __future__ import annotations

import stat
import struct
import sys
from pathlib import Path
from typing import IO

_ELF = b"\x7fELF"
#: Mach-O for one 64-bit processor, and for several.
_MACH_O = (b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe")
_PORTABLE_EXECUTABLE = b"MZ"
_SHARED_OBJECT = 3
_HEADER_BYTES = 64


def flaw(path: Path) -> str | None:
    """Return what shows that a file is no complete library for this machine, or None.

    :raises OSError: when it can't be read
    """
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode):
        return "it is no file"
    with open(path, "rb") as file:
        header = file.read(_HEADER_BYTES)
        if sys.platform == "win32":
            return None if header.startswith(_PORTABLE_EXECUTABLE) else "it is no portable executable"
        if sys.platform == "darwin":
            return None if header.startswith(_MACH_O) else "it is no Mach-O file"
        return _flaw_of_elf(file, header, status.st_size)


def _flaw_of_elf(file: IO[bytes], header: bytes, size: int) -> str | None:
    if len(header) < _HEADER_BYTES or not header.startswith(_ELF):
        return "it is no ELF file"
    is_64_bit, is_little_endian = header[4] == 2, header[5] == 1
    order, address = "<" if is_little_endian else ">", "Q" if is_64_bit else "I"
    kind, machine = struct.unpack_from(f"{order}HH", header, 16)
    if kind != _SHARED_OBJECT:
        return "it is an ELF file, but no shared library"
    own = _own_header()
    if own.startswith(_ELF) and (header[4:6], header[18:20]) != (own[4:6], own[18:20]):
        return f"it is for another kind of processor (ELF machine {machine})"
    segments, sections = struct.unpack_from(f"{order}2{address}", header, 32 if is_64_bit else 28)
    segment_size, n_segments, section_size, n_sections = struct.unpack_from(
        f"{order}4H", header, 54 if is_64_bit else 42
    )
    layout = struct.Struct(f"{order}2I6Q" if is_64_bit else f"{order}8I")
    if segment_size != layout.size or n_segments == 0:
        return "it has nothing to be loaded"
    ends = [segments + segment_size * n_segments, sections + section_size * n_sections]
    if max(ends) <= size:
        file.seek(segments)
        for segment in layout.iter_unpack(file.read(segment_size * n_segments)):
            start, length = (segment[2], segment[5]) if is_64_bit else (segment[1], segment[4])
            ends.append(start + length)
    # A process that reads behind the end of a file that is mapped into memory is killed.
    return f"it ends after {size} bytes, expected {max(ends)}" if max(ends) > size else None


def _own_header() -> bytes:
    """The first bytes of the interpreter, where this user may read it."""
    try:
        with open("/proc/self/exe", "rb") as file:
            return file.read(_HEADER_BYTES)
    except OSError:
        return b""
