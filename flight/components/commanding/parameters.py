"""Bodies of the PUS 20 requests, which need a component's declaration to be read."""

from __future__ import annotations

from typing import Any

from flight.framework.component import Component
from icd.codec import Codec, FieldError, FieldFault


def pack_parameters(component: Component[Any, Any]) -> bytes:
    """The body of a (20, 2) report: how many, then all values in declared order."""
    values = component.parameter_values()
    return bytes([len(values)]) + component.parameter_codec.pack(values)


def unpack_changes(component: Component[Any, Any], body: bytes) -> list[tuple[int, Any]]:
    """The (index, value) pairs of a (20, 3) request: a count, then 16-bit index and value each.

    Raises FieldError when an index is unknown or the octets do not fit.
    """
    fields = component.declaration.parameters
    changes: list[tuple[int, Any]] = []
    position = 1
    for _ in range(body[0] if body else 0):
        index = int.from_bytes(body[position : position + 2], "big")
        if index >= len(fields) or len(body) < position + 2:
            raise FieldError(
                FieldFault.LENGTH, f"give parameter indices 0 … {len(fields) - 1} with their values"
            )
        codec = Codec([fields[index]])
        size = codec.size or 0
        (value,) = codec.unpack(body[position + 2 : position + 2 + size])
        changes.append((index, value))
        position += 2 + size
    if not changes or position != len(body):
        raise FieldError(FieldFault.LENGTH, "give a count, then that many (index, value) pairs")
    return changes
