#!/usr/bin/env python3
"""Packs the Lambda binary into a zip file. The file always has the same bytes for the same binary.

usage: pack.py BINARY ZIP

The tables for unwinding the stack are overwritten with zeros. The program ends at a panic and never unwinds, and the
tables of the standard library would be a tenth of the package. Nothing else in the binary changes.
"""
import struct
import sys
import zipfile

UNUSED = {b".eh_frame", b".eh_frame_hdr"}


def without_unwind_tables(binary):
    """Returns the bytes of a 64-bit little-endian ELF file, with zeros in the sections UNUSED."""
    if binary[:6] != b"\x7fELF\x02\x01":
        raise SystemExit("the binary is not a 64-bit little-endian ELF file")
    data = bytearray(binary)
    (headers,) = struct.unpack_from("<Q", data, 40)
    size, count, names = struct.unpack_from("<HHH", data, 58)
    sections = [struct.unpack_from("<IIQQQQIIQQ", data, headers + at * size) for at in range(count)]
    texts = sections[names][4]
    found = set()
    for section in sections:
        start = texts + section[0]
        name = bytes(data[start : data.index(0, start)])
        if name in UNUSED:
            data[section[4] : section[4] + section[5]] = bytes(section[5])
            found.add(name)
    if found != UNUSED:
        raise SystemExit(f"the binary has no section {sorted(UNUSED - found)}")
    return bytes(data)


def main():
    source, target = sys.argv[1:]
    with open(source, "rb") as file:
        binary = without_unwind_tables(file.read())
    entry = zipfile.ZipInfo("bootstrap")
    entry.external_attr = 0o755 << 16
    entry.compress_type = zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(target, "w", compresslevel=9) as archive:
        archive.writestr(entry, binary, compresslevel=9)


main()
