"""A board server that is none: one GPU whose readings are what a test or a simulation sets."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

from flight.framework.simulated_worker import SimulatedWorker
from flight.framework.time_units import SECOND
from hal.device import FaultKind
from hal.reading import Validity

IDLE = {
    "power_w": (52.0, "W"),
    "power_limit_w": (350.0, "W"),
    "energy_j": (0.0, "J"),
    "temperature_c": (34.0, "°C"),
    "temperature_memory_c": (38.0, "°C"),
    "clock_sm_mhz": (345.0, "MHz"),
    "utilization_percent": (0.0, "%"),
    "memory_used_bytes": (512.0 * 2**20, "B"),
    "memory_total_bytes": (81559.0 * 2**20, "B"),
    "throttle_reasons": (1.0, "bits"),
    "ecc_corrected_volatile": (0.0, "errors"),
    "ecc_uncorrected_volatile": (0.0, "errors"),
    "remapped_rows_corrected": (0.0, "rows"),
    "remapped_rows_uncorrected": (0.0, "rows"),
    "pcie_replays": (0.0, "packets"),
    "processes": (0.0, "processes"),
    "recovery_action": (0.0, "code"),
}
"""An H100 PCIe with nothing to do."""

COMPUTER = {
    "host.cpu_percent": (3.0, "%"),
    "host.load_1": (0.2, "1"),
    "host.memory_used_bytes": (6.0 * 2**30, "B"),
    "host.memory_total_bytes": (128.0 * 2**30, "B"),
    "host.disk_state_free_bytes": (900.0 * 2**30, "B"),
    "host.temperature_max_c": (41.0, "°C"),
}
"""The computer that hosts it."""

DURATIONS = {
    "kill_contexts": SECOND // 10,
    "gpu_reset": 3 * SECOND,
    "driver_reload": 8 * SECOND,
    "rail_power_cycle": 25 * SECOND,
    "other_slot": 30 * SECOND,
}
"""How long each recovery takes (estimates, as in the emulated board)."""
RANKS = {action: rank for rank, action in enumerate(DURATIONS, 2)}
"""The level of the recovery ladder at which each one stands."""


class SimulatedBoard(SimulatedWorker):
    """Sends readings each `period_ns` when stepped, and obeys what it is allowed to."""

    def __init__(
        self,
        clock: Callable[[], int],
        period_ns: int = SECOND // 2,
        allow_control: frozenset[str] = frozenset(),
        devices: int = 1,
    ) -> None:
        super().__init__("board", clock)
        self.period_ns = period_ns
        self.allow_control = allow_control
        self.values = [dict(IDLE) for _ in range(devices)]
        self.validity: dict[tuple[int, str], tuple[Validity, str]] = {}
        """Readings that cannot be believed, by device and quantity."""
        self.lost: dict[int, str] = {}
        """Devices off the bus, and the reason."""
        self.cures: dict[int, int] = {}
        """Devices that need a recovery of at least that level before they work again."""
        self.durations = dict(DURATIONS)
        self.slot: int | None = None
        """The boot slot that runs; None: there is one only."""
        self.is_other_slot_broken = False
        self.confirmed: list[int] = []
        """Boot slots that were said to have booted well."""
        self.done: list[tuple[int, str, int]] = []
        """Recoveries that were begun: when, which, and on which device."""
        self._wake: Callable[[], None] = lambda: None
        self._under_way: list[tuple[int, dict[str, Any]]] = []
        self._due = 0
        self._picture: Any = None
        self._rows: list[list[Any]] = []
        self._is_identified = False
        self.server = 1
        """Identity of this board server; another one is another number."""
        self._messages = 0
        self._told = 0
        self.kept: list[tuple[int, list[Any]]] = []
        """Faults that no executive has acknowledged, by their numbers."""

    def on_work(self, wake: Callable[[], None]) -> None:
        """Call `wake` whenever a message is taken, so that whoever steps this knows."""
        self._wake = wake

    def send(self, kind: str, body: Mapping[str, Any]) -> bool:
        """Take a message; it is heeded at the next step."""
        taken = super().send(kind, body)
        if taken:
            self._wake()
        return taken

    def set(self, quantity: str, value: float, device: int = 0) -> None:
        """Change what a sensor shows."""
        self.values[device][quantity] = value, self.values[device][quantity][1]

    def run(self, now: int) -> int | None:
        """Answer requests, and send readings when they are due. On-board ns in, next due out."""
        if self.is_hung or self.is_gone:
            return None
        for kind, body in self.sent:
            if kind == "control" and body["action"] in RANKS:
                self._recover(now, body)
            elif kind == "control":
                self.say("done", {"id": body["id"], **self._control(body)})
            elif kind == "read":
                self._due = now
            elif kind == "hello":
                self._send_faults(self.kept)
            elif kind == "heard" and body["server"] == self.server:
                self.kept = [one for one in self.kept if one[0] > body["upto"]]
        self.sent.clear()
        self._end_recoveries(now)
        if not self._is_identified:
            self._is_identified = True
            self.say("identity", self.identity())
        if now >= self._due:
            self._due = now + self.period_ns
            if not self._under_way:  # a driver that is busy with a recovery reads nothing
                self._messages += 1
                head = {"server": self.server, "sequence": self._messages}
                self.say("readings", {**head, "rows": self.rows()})
        return min([self._due, *(ends for ends, _ in self._under_way)])

    def identity(self) -> dict[str, Any]:
        """What it says of itself."""
        return {
            "board": "simulated-h100",
            "driver": "simulated",
            "driver_version": "1",
            "library_version": "",
            "cuda_version": "",
            "devices": [{"index": i, "name": "NVIDIA H100 PCIe"} for i in range(len(self.values))],
        }

    def rows(self) -> list[list[Any]]:
        """Every reading, in the form of the board server; made anew when one has changed."""
        picture = (self.values, self.validity, self.lost, self.slot)
        if picture != self._picture:
            self._picture = copy.deepcopy(picture)
            self._rows = self._made()
        return self._rows

    def _made(self) -> list[list[Any]]:
        of_gpus = [
            self._row(device, quantity, value, unit)
            for device, values in enumerate(self.values)
            for quantity, (value, unit) in values.items()
        ]
        if self.slot is not None:
            of_gpus.append(self._row(0, "boot_slot", self.slot, "slot"))
        return of_gpus + [[name, value, 0, "", unit] for name, (value, unit) in COMPUTER.items()]

    def fault(self, kind: FaultKind, code: int, text: str = "", device: int | None = 0) -> None:
        """Let the driver report a fault; the device None is one that it does not name."""
        self.report([self._clock(), device, int(kind), code, text])

    def report(self, *rows: Any) -> None:
        """Send faults as they would lie in a message, and keep them until acknowledged."""
        new = list(enumerate(rows, self._told + 1))
        self._told += len(rows)
        self.kept += new
        self._send_faults(new)

    def _send_faults(self, numbered: list[tuple[int, Any]]) -> None:
        if numbered:
            rows = [row for _, row in numbered]
            self.say("faults", {"server": self.server, "first": numbered[0][0], "faults": rows})

    def break_down(self, level: int, device: int = 0, *, lost: str = "") -> None:
        """Let a device need a recovery of that level; with `lost` it answers nobody till then."""
        self.cures[device] = level
        self.set("recovery_action", {3: 1, 4: 2, 5: 2}.get(level, 0), device)
        if lost:
            self.lost[device] = lost

    def _recover(self, now: int, body: dict[str, Any]) -> None:
        action = body["action"]
        if action not in self.allow_control:
            self.say("done", {"id": body["id"], **self._read_only(action)})
            return
        self.done.append((now, action, body["device"]))
        self._under_way.append((now + self.durations[action], body))

    def _end_recoveries(self, now: int) -> None:
        over = [body for ends, body in self._under_way if ends <= now]
        self._under_way = [(ends, body) for ends, body in self._under_way if ends > now]
        for body in over:
            if body["action"] == "other_slot" and self.slot is None:
                text = "the other slot cannot be booted; write it anew first"
                self.say("done", {"id": body["id"], "ok": False, "value": None, "text": text})
                continue
            if body["action"] == "other_slot" and not self.is_other_slot_broken:
                self.slot = 1 - (self.slot or 0)
            rank = RANKS[body["action"]]
            reached = range(len(self.values)) if rank > 3 else [body["device"]]
            for device in reached:
                if self.cures.get(device, 0) <= rank:
                    self.cures.pop(device, None)
                    self.lost.pop(device, None)
                    self.set("recovery_action", 0.0, device)
            ok = body["device"] not in self.cures
            text = "done" if ok else "it made no difference"
            self.say("done", {"id": body["id"], "ok": ok, "value": None, "text": text})

    def replaced(self) -> None:
        """Another board server has started in its place."""
        super().replaced()
        self._under_way.clear()
        self._is_identified, self._due = False, 0
        self.server += 1
        self._messages = self._told = 0
        self.kept.clear()

    def _row(self, device: int, quantity: str, value: float, unit: str) -> list[Any]:
        validity, reason = self.validity.get((device, quantity), (Validity.VALID, ""))
        if device in self.lost:
            validity, reason = Validity.LOST, self.lost[device]
        shown = value if validity is Validity.VALID else None
        return [f"gpu{device}.{quantity}", shown, int(validity), reason, unit]

    def _control(self, body: Mapping[str, Any]) -> dict[str, Any]:
        action, value = body["action"], body["value"]
        if action not in self.allow_control:
            return self._read_only(action)
        if action == "confirm_slot":
            self.confirmed.append(self.slot or 0)
            return {"ok": True, "value": float(self.slot or 0), "text": "done"}
        self.set(action, value, body["device"])
        return {"ok": True, "value": value, "text": "done"}

    def _read_only(self, action: str) -> dict[str, Any]:
        text = f"the board is read-only; allow {action} by name"
        return {"ok": False, "value": None, "text": text}
