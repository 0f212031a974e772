"""Read and write images in formats that anyone can make: .npy, binary PGM and PPM."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np

from flight.jobs.api import Array, InputError

_FORMATS = "give .npy (uint8 or uint16, bands x rows x columns) or binary PGM / PPM"
_HEADER_LIMIT = 4096

_NPY = b"\x93NUMPY"
# Read here, because NumPy's own reader of headers raises whatever a malformed one provokes.
_DESCR = re.compile(r"'descr'\s*:\s*'([<>|=]u[12])'", re.ASCII)
_ORDER = re.compile(r"'fortran_order'\s*:\s*(True|False)", re.ASCII)
_SHAPE = re.compile(r"'shape'\s*:\s*\(\s*(\d{1,9}(?:\s*,\s*\d{1,9})*)\s*,?\s*\)", re.ASCII)

_GAP = rb"(?:\s|#[^\n]*\n)+"
_PNM = re.compile(
    rb"P([56])" + _GAP + rb"(\d{1,9})" + _GAP + rb"(\d{1,9})" + _GAP + rb"(\d{1,9})\s"
)


def read(path: Path, name: str) -> Array:
    """The image in a file as uint16, bands x rows x columns.

    A .npy of two dimensions and a PGM have one band, a PPM has red, green, blue. Raises InputError
    that starts with `name` for anything else, and for a file that ends early or late.
    """
    with path.open("rb") as file:
        start = file.read(_HEADER_LIMIT)
    image = _read_npy(path, name, start) if start.startswith(_NPY) else _read_pnm(path, name, start)
    return np.ascontiguousarray(image, np.uint16)


def write_pgm(path: Path, grey: Array) -> None:
    """Write a uint8 image, rows x columns, as binary PGM."""
    rows, columns = grey.shape
    path.write_bytes(b"P5\n%d %d\n255\n" % (columns, rows) + grey.tobytes())


def _read_npy(path: Path, name: str, start: bytes) -> Array:
    version = start[len(_NPY) : len(_NPY) + 1]
    if version not in (b"\x01", b"\x02", b"\x03"):
        raise InputError(f"{name}: a .npy of an unknown version; {_FORMATS}")
    begin = 10 if version == b"\x01" else 12
    end = begin + int.from_bytes(start[8:begin], "little")
    header = start[begin:end].decode("latin-1")
    descr, order, shape = (key.search(header) for key in (_DESCR, _ORDER, _SHAPE))
    if descr is None or order is None or shape is None or end > len(start):
        raise InputError(f"{name}: a .npy with header {header.strip()[:100]!r}; {_FORMATS}")
    sizes = tuple(int(size) for size in shape[1].split(","))
    if len(sizes) not in (2, 3) or 0 in sizes:
        raise InputError(f"{name}: pixels of shape {sizes}; {_FORMATS}")
    pixels = _pixels(path, name, np.dtype(descr[1]), math.prod(sizes), end)
    image = pixels.reshape(sizes, order="F" if order[1] == "True" else "C")
    return image if image.ndim == 3 else image[None]


def _read_pnm(path: Path, name: str, start: bytes) -> Array:
    header = _PNM.match(start)
    if header is None:
        raise InputError(f"{name}: not an image this job reads; {_FORMATS}")
    kind, columns, rows, highest = (int(header[group]) for group in (1, 2, 3, 4))
    bands = 3 if kind == 6 else 1
    if not (columns and rows and 0 < highest < 65536):
        raise InputError(f"{name}: {columns} x {rows} pixels up to {highest}; {_FORMATS}")
    dtype = np.dtype(">u2" if highest > 255 else "u1")
    count = rows * columns * bands
    begin = header.end()
    # One octet of white space ends the header; where it is CR LF, the size of the file tells that.
    has_line_end = start[begin - 1 : begin + 1] == b"\r\n"
    if has_line_end and path.stat().st_size == begin + 1 + count * dtype.itemsize:
        begin += 1
    pixels = _pixels(path, name, dtype, count, begin)
    if pixels.max() > highest:
        raise InputError(
            f"{name}: a pixel of {pixels.max()} where {highest} is the most; {_FORMATS}"
        )
    image: Array = pixels.reshape(rows, columns, bands).transpose(2, 0, 1)
    return image


def _pixels(
    path: Path, name: str, dtype: np.dtype[np.unsignedinteger], count: int, at: int
) -> Array:
    size, present = count * dtype.itemsize, path.stat().st_size - at
    if present != size:
        raise InputError(
            f"{name}: {present} octets of pixels where {size} should be; send it again"
        )
    pixels: Array = np.fromfile(path, dtype, count, offset=at)
    return pixels
