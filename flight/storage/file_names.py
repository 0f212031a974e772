"""What a path of the file store may look like, and where it lies."""

from __future__ import annotations

from collections.abc import Callable

from flight.framework.ports import Refused

ROOT = "state/files"
INCOMING = "state/incoming"
LONGEST = 128
PRODUCTS = "products"
SIDECAR = ".edac"
"""What a protected file's sidecar is called, behind the file's name."""


FileNames = Callable[[str], str]
"""The storage path (`state/files/…`) of a file-store name; raises ValueError or
Refused, with what to write instead, for a name that is none."""


def file_path(text: str) -> str:
    """The storage path of a file-store path; raises Refused with what to write instead."""
    check(text)
    return f"{ROOT}/{text}"


def folder_path(text: str) -> str:
    """The same for a folder, where an empty text is the whole store."""
    return file_path(text) if text else ROOT


def check(text: str) -> None:
    """Refuse what is not a plain relative path of the file store."""
    wanted = "write a relative path such as inputs/text.txt"
    if not text:
        raise Refused(f"the path is empty; {wanted}")
    if not text.isprintable() or "\\" in text:
        raise Refused(f"the path holds a control character or a backslash; {wanted}")
    if len(text.encode()) > LONGEST:
        raise Refused(f"the path takes {len(text.encode())} octets; give at most {LONGEST}")
    if text.startswith("/"):
        raise Refused(f"the path is absolute; {wanted}")
    if any(part in ("", ".", "..") for part in text.split("/")):
        raise Refused(f"the path is not normalised: no '.', '..' or empty part; {wanted}")


def check_writable(text: str) -> None:
    """Refuse also what only jobs write."""
    check(text)
    for part in text.split("/"):
        if part != part.strip() or part.startswith("-"):
            raise Refused(
                f"{part!r} begins or ends with a blank, or begins with a dash; give another name"
            )
    if text.split("/")[0] == PRODUCTS:
        raise Refused(f"{PRODUCTS}/ is written by jobs only; put the file under another folder")
    if text.endswith(SIDECAR):
        raise Refused(f"the payload itself makes the files called *{SIDECAR}; give another name")


def sidecar(path: str) -> str:
    """The storage path of a file's sidecar."""
    return path + SIDECAR


def parent(path: str) -> str:
    """The folder that holds a storage path."""
    return path.rpartition("/")[0]
