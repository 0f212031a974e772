"""Tells systemd how the payload is, over the datagram socket that it names."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from contextlib import suppress

ADDRESS = "NOTIFY_SOCKET"
VARIABLES = (ADDRESS, "WATCHDOG_USEC", "WATCHDOG_PID")
"""What only the supervisor may know: a job that knew it could vouch for the payload."""


class Notifier:
    """Sends notifications; does nothing where nobody asked for any. Protocol: sd_notify(3)."""

    def __init__(self, address: str | None) -> None:
        self._address = address
        self._socket: socket.socket | None = None
        if address:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._socket.setblocking(False)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Notifier:
        """A notifier for whoever started this process."""
        return cls(environment.get(ADDRESS))

    def send(self, text: str) -> bool:
        """Send assignments, one a line, without waiting; False when they did not go out."""
        if self._socket is None or not self._address:
            return False
        address = self._address
        if address.startswith("@"):  # a name outside the file system
            address = "\0" + address[1:]
        with suppress(OSError):
            self._socket.sendto(text.encode(), address)
            return True
        return False

    def close(self) -> None:
        """Close the socket; a second call does nothing."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def without_notification(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment for children, without the socket: they cannot notify for the payload."""
    return {name: value for name, value in environment.items() if name not in VARIABLES}
