"""Read and write images in formats that anyone can make: .npy, binary PGM and PPM."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from flight.jobs.api import Array, InputError

_HEADER = re.compile(
    rb"P([56])((?:\s+|#[^\n]*\n)+)(\d+)((?:\s+|#[^\n]*\n)+)(\d+)((?:\s+|#[^\n]*\n)+)(\d+)\s"
)
_HEADER_LIMIT = 4096
_FORMATS = "give .npy (uint8 or uint16, bands x rows x columns) or binary PGM / PPM"


def read(path: Path, name: str) -> Array:
    """The image in a file as uint16, bands x rows x columns.

    A .npy of two dimensions and a PGM have one band, a PPM has red, green, blue. Raises InputError
    that starts with `name` for anything else, and for a file that ends early.
    """
    with path.open("rb") as file:
        start = file.read(_HEADER_LIMIT)
    if start.startswith(b"\x93NUMPY"):
        return _read_npy(path, name)
    header = _HEADER.match(start)
    if header is None:
        raise InputError(f"{name}: not an image this job reads; {_FORMATS}")
    return _read_pnm(path, name, header)


def write_pgm(path: Path, grey: Array) -> None:
    """Write a uint8 image, rows x columns, as binary PGM."""
    rows, columns = grey.shape
    path.write_bytes(b"P5\n%d %d\n255\n" % (columns, rows) + grey.tobytes())


def _read_npy(path: Path, name: str) -> Array:
    try:
        stored: Array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise InputError(f"{name}: {error}; {_FORMATS}") from None
    if stored.dtype.kind != "u" or stored.dtype.itemsize > 2 or stored.ndim not in (2, 3):
        raise InputError(f"{name}: {stored.dtype} of {stored.ndim} dimensions; {_FORMATS}")
    if 0 in stored.shape:
        raise InputError(f"{name}: no pixels (shape {stored.shape})")
    image = np.array(stored, np.uint16, order="C")  # kernels take no read-only map of a file
    return image if image.ndim == 3 else image[None]


def _read_pnm(path: Path, name: str, header: re.Match[bytes]) -> Array:
    kind, columns, rows, highest = (int(header[group]) for group in (1, 3, 5, 7))
    bands = 3 if kind == 6 else 1
    if not (columns and rows and 0 < highest < 65536):
        raise InputError(f"{name}: {columns} x {rows} pixels up to {highest}; {_FORMATS}")
    dtype = np.dtype(">u2" if highest > 255 else "u1")
    size = rows * columns * bands * dtype.itemsize
    present = path.stat().st_size - header.end()
    if present < size:
        raise InputError(
            f"{name}: {present} octets of pixels where {size} should be; send it again"
        )
    pixels = np.fromfile(path, dtype, rows * columns * bands, offset=header.end())
    image: Array = np.ascontiguousarray(
        pixels.reshape(rows, columns, bands).transpose(2, 0, 1), np.uint16
    )
    return image
