"""Checks of who else is on this machine: ports, run directories and other payloads."""

from __future__ import annotations

import ipaddress
from pathlib import Path

from flight.deployment.configuration import ConfigurationError, address_of
from flight.doctor.finding import Finding, error, ok, warning
from flight.doctor.machine import Subject

SUPERVISOR = "flight.supervisor"


def link(subject: Subject) -> Finding:
    """The payload can listen where it is told to, and only ground can command it."""
    settings = subject.configuration.link
    try:
        host, port = address_of(settings.endpoint)
    except ConfigurationError as refused:  # `flight run` says the same
        return error(str(refused), "write it so in [link] endpoint")
    address = host or "0.0.0.0"
    if settings.insecure and not ipaddress.ip_address(address).is_loopback:
        return error(
            f"anybody who reaches {settings.endpoint} can command this payload",
            "leave insecure away, or listen on 127.0.0.1",
        )
    if port == 0:
        return ok(f"{address}, on a port that is free")
    if reason := subject.machine.why_not_bound(address, port):
        return error(
            f"nothing can listen at {settings.endpoint}: {reason}",
            "give another port (or * for a free one), or an address of this machine",
        )
    return ok(f"{settings.endpoint} is free")


def this_payload(subject: Subject) -> Finding:
    """No payload flies with these folders: `flight run` would refuse them."""
    flying = _payloads(subject)
    for folder, what in ((subject.run, "run"), (subject.state, "state")):
        try:
            owner = int((folder / f"{what}.lock").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue  # not there, or empty: nobody holds it
        if owner in flying:
            return error(
                f"pid {owner} flies in {folder}", f"stop it first, or give another --{what}"
            )
    return ok("these folders are free")


def other_payloads(subject: Subject) -> Finding:
    """Other payloads on the machine are named: they share what it has."""
    own = subject.run / "plan.json"
    others = [pid for pid, plan in _payloads(subject).items() if plan != own]
    if others:
        pids = ", ".join(map(str, sorted(others)))
        return warning(f"other payloads fly here: pid {pids}", "they share GPU, memory and cores")
    return ok("no other payload flies here")


def _payloads(subject: Subject) -> dict[int, Path]:
    """Pid of every supervisor on the machine, and the plan that it flies."""
    found = {}
    for path in subject.machine.found("/proc/[0-9]*/cmdline"):
        try:
            words = path.read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue  # it ended meanwhile
        if SUPERVISOR in words[:-1]:
            found[int(path.parent.name)] = Path(words[words.index(SUPERVISOR) + 1])
    return found
