"""Whether a file is a shared library for this machine, from what its first bytes say, without loading it."""

from __future__ import annotations

import struct
import sys
from pathlib import Path

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
    with open(path, "rb") as file:
        header = file.read(_HEADER_BYTES)
    if sys.platform == "win32":
        return None if header.startswith(_PORTABLE_EXECUTABLE) else "it is no portable executable"
    if sys.platform == "darwin":
        return None if header.startswith(_MACH_O) else "it is no Mach-O file"
    return _flaw_of_elf(header, path.stat().st_size)


def _flaw_of_elf(header: bytes, size: int) -> str | None:
    if len(header) < _HEADER_BYTES or not header.startswith(_ELF):
        return "it is no ELF file"
    is_64_bit, is_little_endian = header[4] == 2, header[5] == 1
    order = "<" if is_little_endian else ">"
    kind, machine = struct.unpack_from(f"{order}HH", header, 16)
    if kind != _SHARED_OBJECT:
        return "it is an ELF file, but no shared library"
    own = _own_header()
    if own.startswith(_ELF) and (header[4:6], header[18:20]) != (own[4:6], own[18:20]):
        return f"it is for another kind of processor (ELF machine {machine})"
    # The table of sections comes last.
    offset = struct.unpack_from(f"{order}Q" if is_64_bit else f"{order}I", header, 40 if is_64_bit else 32)[0]
    entry_size, n_entries = struct.unpack_from(f"{order}HH", header, 58 if is_64_bit else 46)
    if offset + entry_size * n_entries > size:
        return f"it ends after {size} bytes, before its table of sections"
    return None


def _own_header() -> bytes:
    """The first bytes of the interpreter, where this user may read it."""
    try:
        with open("/proc/self/exe", "rb") as file:
            return file.read(_HEADER_BYTES)
    except OSError:
        return b""
