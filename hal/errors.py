"""What can go wrong below `hal`, named by what happened.

HalError
├── UnknownBoard       the configuration names a board that no row describes
├── WrongTrace         a recorded trace is damaged, or of another version
├── BoardError         a driver call failed
│   ├── DriverMissing      no driver or library is installed, or its versions disagree
│   ├── Unsupported        this board has no such sensor or control
│   ├── NotPermitted       the operating system refuses this user
│   ├── WrongRequest       the argument is outside what the board accepts
│   ├── TimedOut           the driver gave up waiting
│   ├── DriverFault        the driver failed in another way
│   └── BoardLost          the device is off the bus or waits for a reset
└── ComputeError       a compute call failed
    ├── OutOfMemory        the device has no room for the allocation
    └── DeviceLost         the device was lost or reset: every allocation on it is gone
"""

from __future__ import annotations


class HalError(Exception):
    """Anything that `hal` raises."""


class UnknownBoard(HalError):
    """The configuration names a board that no row describes."""


class WrongTrace(HalError):
    """A recorded trace is damaged, or of another version."""


class BoardError(HalError):
    """A driver call failed; `call` names it."""

    def __init__(self, text: str, call: str = "") -> None:
        super().__init__(text)
        self.call = call


class DriverMissing(BoardError):
    """No driver or library is installed, or its versions disagree."""


class Unsupported(BoardError):
    """This board has no such sensor or control."""


class NotPermitted(BoardError):
    """The operating system refuses this user."""


class WrongRequest(BoardError):
    """The argument is outside what the board accepts."""


class TimedOut(BoardError):
    """The driver gave up waiting."""


class DriverFault(BoardError):
    """The driver failed in another way."""


class BoardLost(BoardError):
    """The device is off the bus or waits for a reset."""


class ComputeError(HalError):
    """A compute call failed."""


class OutOfMemory(ComputeError):
    """The device has no room for the allocation."""


class DeviceLost(ComputeError):
    """The device was lost or reset: every allocation on it is gone."""
