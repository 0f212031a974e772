"""What a board says that it is, as lines for people."""

from __future__ import annotations

from hal.device import BoardIdentity, Device

GIB = 1 << 30


def lines_of(identity: BoardIdentity) -> list[str]:
    """The board and its driver, then each accelerator; what nobody told is left out."""
    versions = (
        ("driver", f"{identity.driver} {identity.driver_version}".strip()),
        ("library", identity.library_version),
        ("CUDA", identity.cuda_version),
    )
    told = [f"{name} {version}" for name, version in versions if version]
    return [
        f"board {identity.board}: {', '.join(told)}",
        *(_line(device) for device in identity.devices),
    ]


def _line(device: Device) -> str:
    limits = (
        f"{device.memory_bytes / GIB:.0f} GiB" if device.memory_bytes else "",
        f"{device.max_clock_mhz:.0f} MHz" if device.max_clock_mhz else "",
        f"{device.max_power_w:.0f} W" if device.max_power_w else "",
    )
    parts = (
        device.name or "a GPU that does not tell its name",
        device.uuid,
        f"serial {device.serial}" if device.serial else "",
        f"at {device.bus_id}" if device.bus_id else "",
        *limits,
    )
    return f"gpu{device.index}: {', '.join(filter(None, parts))}"
