"""A job from its telecommand to its product, on the whole executive with a clock that jumps.

The driver, the job's process or the link suffer. The job is simulated, the rest is what flies.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from flight.campaign.address import Address
from flight.campaign.fault_models import Model, Outcome, Shield, Site
from flight.campaign.kernels.common import CommonSettings
from flight.campaign.kernels.station import Station
from flight.campaign.outcomes import Ended
from flight.campaign.patterns import Pattern
from flight.campaign.random_draws import RandomDraws
from flight.campaign.settings import quantity, share, whole
from flight.components.job_runner.simulated import Behaviour
from flight.components.recovery.fault_table import XIDS, Level
from flight.deployment.configuration import Configuration, RecoverySettings
from flight.deployment.simulated import SimulatedPayload
from flight.deployment.simulated_station import HEARTBEAT_S
from flight.fault_tolerance.levels import Protection
from flight.framework.time_units import SECOND
from flight.jobs.registry import by_name
from hal.device import FaultKind

JOB_S = 8
"""How long the job runs undisturbed."""
STRIKE_S = 5
"""Within so long of its being seen to run, the driver or the process suffers."""
MESSAGES = 12
"""Faults of the link strike one of so many first messages of their direction."""
PATIENCE_S = 10
"""After so long without a word on its telecommand the station asks, and sends it again."""
SIGKILL, SIGSEGV = 9, 11
_RESULT = b'{"digest": "what the job makes of its input"}'
_OFF_THE_BUS = 79
_PRODUCT = re.compile(r"state/files/products/job-\d+/result\.json")


@dataclass(frozen=True)
class PayloadSettings(CommonSettings):
    """`[kernel.payload]`."""

    within: float = quantity("s", 10.0, 3600.0, 600.0)
    """On-board time in which the job must have ended."""
    commit_every: int = whole(1, 60, 5)
    """Steps of 0.1 s between commits."""
    tolerance: float = share(0.0, 0.0, 0.0)


class Payload:
    """One matmul job, sent by a station that stays in contact. Recovery may do all it can."""

    def __init__(self, settings: PayloadSettings, _seed: int) -> None:
        self.settings = settings

    def draw(
        self, trial: tuple[Shield, Site, Model], number: int, count: int, draws: RandomDraws
    ) -> tuple[Address, ...]:
        """See `Subject`. `call` is a time in ms, or for the link the number of a message."""
        del number
        return tuple(self._fault(*trial[1:], draws) for _ in range(count))

    def attempt(self, shield: Shield, number: int, faults: Sequence[Address]) -> Ended:
        """See `Subject`."""
        del shield, number
        return _Flight(self.settings, faults).ended()

    def timed(self, _shield: Shield) -> None:
        """A clock that jumps takes no time."""

    def _fault(self, site: Site, model: Model, draws: RandomDraws) -> Address:
        if site is Site.LINK:
            direction = draws.one_of(("uplink", "downlink"))
            mask = bytes(1 + octet % 255 for octet in draws.octets(1 + draws.below(8)))
            pattern = Pattern(draws.below(1 << 16), mask)
            return Address(site, model, 0, draws.below(MESSAGES), direction, 0, pattern)
        code = draws.one_of(sorted(XIDS)) if site is Site.DRIVER else 0
        array = "GPU 0" if site is Site.DRIVER else "job"
        at_ms = draws.below(STRIKE_S * 1000)
        return Address(
            site, model, 0, at_ms, array, code, Pattern(0, b"", f"xid {code}" * bool(code))
        )


class _Flight:
    """One flight with its faults."""

    def __init__(self, settings: PayloadSettings, faults: Sequence[Address]) -> None:
        self._settings = settings
        self._faults = faults
        self._seen = {"uplink": 0, "downlink": 0}
        self._late: dict[str, bytes] = {}
        self.payload = SimulatedPayload(Configuration(recovery=RecoverySettings("L7")))
        self.behaviour = Behaviour(
            steps=10 * JOB_S, commit_every=settings.commit_every, outputs={"result.json": _RESULT}
        )
        self.payload.launcher.default = self.behaviour
        self.station = Station(self.payload, self._suffer)
        self.station.contact()
        self._start = self.payload.now
        self._sends = 0

    def ended(self) -> Ended:
        """Run until the station knows how the job ended, or time is over; its outcome."""
        due = sorted((f for f in self._faults if f.site is not Site.LINK), key=lambda f: f.call)
        request = self._submit()
        is_running = False
        while self._elapsed_s() < self._settings.within:
            if not is_running and self.payload.launcher.running:
                is_running, self._start = True, self.payload.now
            while (
                is_running and due and self._elapsed_s() * 1000 + HEARTBEAT_S * 1000 > due[0].call
            ):
                self._wait_for(due[0].call)
                self._strike(due.pop(0))
            self.station.contact()
            request = self._asked_again(request)
            if self._is_known():
                break
        return self._judged()

    def _elapsed_s(self) -> float:
        return (self.payload.now - self._start) / SECOND

    def _wait_for(self, at_ms: int) -> None:
        self.payload.advance(max(0.0, at_ms / 1000 - self._elapsed_s()))

    def _submit(self) -> bytes:
        job = by_name("matmul")
        fragment, arguments = job.fragment(), job.pack(job.parse({"size": "64"}))
        self._sends += 1
        return self.station.send("jobs.submit", *_order(fragment.number, fragment.hash), arguments)

    def _asked_again(self, request: bytes) -> bytes:
        """Without a word on the submission, ask for the table, and submit again if it is empty."""
        if self.station.stages.get(request) or self._elapsed_s() < PATIENCE_S * self._sends:
            return request
        asked = self.station.send("jobs.list")
        for _ in range(3):
            self.station.contact()
        listed = self.station.results.get(asked)
        return self._submit() if listed is not None and not listed["jobs"] else request

    def _is_known(self) -> bool:
        jobs = self.station.housekeeping.get("jobs", {})
        return bool(jobs.get("done", 0) or jobs.get("failed", 0))

    def _strike(self, fault: Address) -> None:
        payload = self.payload
        running = list(payload.launcher.running.values())
        if fault.site is Site.DRIVER:
            self._report_xid(fault.part)
        elif fault.model is Model.HANG:
            for process in running:
                process.behaviour = replace(self.behaviour, hang_at=0)
        else:
            for process in running:
                process.kill(SIGKILL if fault.model is Model.KILL else SIGSEGV)

    def _report_xid(self, code: int) -> None:
        row = XIDS[code]
        if row.level >= Level.GPU_RESET:
            lost = "off the bus" if code == _OFF_THE_BUS else ""
            self.payload.board.break_down(int(row.level), lost=lost)
        if row.level > Level.LOG:  # such a fault ends the context, and with it the job's process
            for process in self.payload.launcher.running.values():
                process.kill(SIGSEGV)
        self.payload.board.fault(FaultKind.XID, code)

    def _suffer(self, direction: str, message: bytes) -> list[bytes]:
        number = self._seen[direction]
        self._seen[direction] += 1
        arrived = [message]
        if direction in self._late:
            arrived.append(self._late.pop(direction))
        for fault in self._faults:
            if fault.site is Site.LINK and (fault.array, fault.call) == (direction, number):
                arrived = self._spoilt(fault, message)
        return arrived

    def _spoilt(self, fault: Address, message: bytes) -> list[bytes]:
        if fault.model is Model.DROP:
            return []
        if fault.model is Model.REPLAY:
            self._late[fault.array] = message
            return [message]
        spoilt = bytearray(message)
        for index, octet in enumerate(fault.pattern.mask):
            spoilt[(fault.pattern.offset + index) % len(spoilt)] ^= octet
        return [bytes(spoilt)]

    def _judged(self) -> Ended:
        """The job was done once, its product is right, and the station knows."""
        files, launcher = self.payload.storage.files, self.payload.launcher
        products = [bytes(f) for path, f in files.items() if _PRODUCT.fullmatch(path)]
        jobs = len({launch["job_id"] for launch in launcher.launches})
        found = self._found()
        if not self._is_known():
            stands_still = bool(launcher.running)
            return Ended(Outcome.HANG if stands_still else Outcome.CRASH, found=found)
        if self.station.housekeeping["jobs"]["failed"]:
            return Ended(
                Outcome.ABORT, found=found, note="the payload reported that the job failed"
            )
        if jobs != 1 or products != [_RESULT]:
            note = f"{jobs} jobs ran, products {products!r}"
            return Ended(Outcome.CRITICAL, found=found, note=note)
        if not self._faults:
            return Ended(Outcome.FALSE_POSITIVE if found else Outcome.CLEAN, found=found)
        return Ended(Outcome.RECOVERED if found else Outcome.MASKED, found=found)

    def _found(self) -> tuple[str, ...]:
        """What the payload or the station noticed."""
        station = self.station
        hk = station.housekeeping
        noticed = {
            "frames rejected": hk.get("commands", {}).get("frames_rejected", 0),
            "retried": hk.get("jobs", {}).get("retried", 0),
            "recovery": sum(event.name.startswith("recovery.") for event in station.events),
            "malformed telemetry": station.malformed,
            "missing telemetry": station.missing,
            "telemetry twice": station.twice,
            "sent again": self._sends - 1,
        }
        return tuple(name for name, count in noticed.items() if count)


def _order(number: int, fragment: int) -> tuple[int, ...]:
    """Kind, hash, priority 5, limits as declared, and the protection."""
    return number, fragment, 5, 0, 0, Protection.NONE
