"""What the world can do to an emulated board: errors, events, loss, heat, silence."""

from __future__ import annotations

from pathlib import Path

from icd.board_state import BoardState, ContextRow
from icd.processes import process_start_time
from sim_hw.nvml import xid
from sim_hw.nvml.xid import Blow, Cure, Recommended
from sim_hw.nvml_library import build
from sim_hw.nvml_library.layout import BANKS, ECC_PLACES, PAGES, PCIE_ERRORS, SPARE_ROWS, Gpu
from sim_hw.nvml_library.state import StateFile

EVENT_SINGLE_BIT, EVENT_DOUBLE_BIT, EVENT_XID, EVENT_MIG = 0x1, 0x2, 0x8, 0x100
EVENT_RECOVERY = 0x8000
CONTAINMENTS = {"contained": xid.CONTAINED, "uncontained": xid.UNCONTAINED}
_BANK_STRIDE = 397
"""Prime, so that errors whose bank nobody chose walk through all banks."""


class World:
    """The open state files of one emulated board."""

    def __init__(self, folder: Path) -> None:
        self.nvml = StateFile.attach(folder / "nvml.state")
        self.board = BoardState.attach(folder / "board.state")

    def __enter__(self) -> World:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the files; what was injected stays."""
        self.board.close()
        self.nvml.close()

    def gpu(self, index: int) -> Gpu:
        """The state of one GPU. Raises ValueError when the board has no such GPU."""
        count = self.nvml.state.gpu_count
        if not 0 <= index < count:
            raise ValueError(f"this board has no GPU {index}; give 0 … {count - 1}")
        gpu: Gpu = self.nvml.state.gpus[index]
        return gpu

    # --- XIDs and what they do ---

    def xid(self, index: int, code: int, pid: int | None = None) -> None:
        """Report an XID and do to the GPU what `sim_hw.nvml.xid` says of it.

        `pid` names the process whose context dies where one does; without it, the one computing.
        """
        if not 1 <= code <= 999:
            raise ValueError(f"XID {code} does not exist; give 1 … 999")
        gpu, effect = self.gpu(index), xid.effect(code)
        if effect.blow is Blow.OFF_BUS:
            self.board.devices[index].lost = 1
        elif effect.blow is Blow.EVERY_CONTEXT:
            self._kill(self._contexts(index), code)
        elif effect.blow is Blow.ONE_CONTEXT:
            self._kill(self._struck(index, pid), code)
        if effect.cure is not Cure.NONE:
            gpu.cure = max(gpu.cure, effect.cure)
            gpu.needs_reset = self.board.devices[index].needs_reset = 1
        if code == xid.REMAP_FAILED:
            gpu.remap_failed = 1
        self.nvml.post(index, EVENT_XID, code)
        if effect.event:
            self.nvml.post(index, effect.event, code)
        if effect.recommended > gpu.recovery_action:
            self._recommend(index, effect.recommended)
        if effect.blow is Blow.OFF_BUS:  # last: whoever waits for events must find them first
            self.take_away(index)

    def storm(self, index: int, code: int, count: int) -> None:
        """Report the same XID `count` times, as a broken part does."""
        for _ in range(count):
            self.xid(index, code)

    def lose(self, index: int) -> None:
        """The GPU falls off the bus: XID 79, then every call answers that it is lost."""
        self.xid(index, xid.OFF_BUS)

    def _recommend(self, index: int, action: Recommended) -> None:
        self.gpu(index).recovery_action = action
        self.nvml.post(index, EVENT_RECOVERY, action)
        self.nvml.post(index, EVENT_XID, xid.RECOVERY_CHANGED)

    def _contexts(self, index: int) -> list[ContextRow]:
        """The contexts on a GPU that have not died yet."""
        generation = self.board.devices[index].generation
        return [
            row
            for row in self.board.contexts
            if row.pid
            and row.device == index
            and row.generation == generation
            and not row.killed_by
        ]

    def _struck(self, index: int, pid: int | None) -> list[ContextRow]:
        found = self._contexts(index)
        if pid is not None:
            return [row for row in found if row.pid == pid]
        return [row for row in found if row.running_since_ns][:1] or found[:1]

    def _kill(self, rows: list[ContextRow], code: int) -> None:
        for row in rows:
            row.killed_by = code

    # --- recovery ---

    def take_away(self, index: int) -> None:
        """Take the GPU off the bus: every call fails, and every context on it is lost."""
        self.gpu(index).lost = self.board.devices[index].lost = 1
        self.nvml.wake()

    def restore(self, index: int) -> None:
        """Reset the GPU: it answers again, its memory and its volatile counters are gone."""
        gpu, row = self.gpu(index), self.board.devices[index]
        row.generation += 1
        was_recommended = gpu.recovery_action
        with self.nvml.locked():
            for counters in (gpu.corrected, gpu.uncorrected):
                counters.volatile_count = type(counters.volatile_count)()
            gpu.pcie_errors = type(gpu.pcie_errors)()
            gpu.remapped_correctable_inactive = gpu.remapped_uncorrectable_inactive = 0
            gpu.remap_pending = gpu.retired_pending = 0
            gpu.recovery_action = Recommended.NONE
            gpu.clock_lock_min_mhz = gpu.clock_lock_max_mhz = 0
            gpu.power_limit_mw = gpu.power_limit_default_mw
            gpu.ecc_current = gpu.ecc_pending
            gpu.cure = gpu.needs_reset = gpu.lost = 0
        row.lost = row.needs_reset = 0
        if gpu.mig_current != gpu.mig_pending:
            gpu.mig_current = gpu.mig_pending
            self.nvml.post(index, EVENT_MIG, gpu.mig_current)
        if was_recommended:
            self.nvml.post(index, EVENT_RECOVERY, Recommended.NONE)

    def stick(self, index: int, cure: Cure) -> None:
        """From now on nothing milder than `cure` helps this GPU."""
        gpu = self.gpu(index)
        gpu.cure = max(gpu.cure, cure)

    def ask(self, index: int, action: Cure) -> int:
        """Ask the model for an action of the ladder; the count that ends it, for `has_ended`."""
        gpu = self.gpu(index)
        with self.nvml.locked():
            gpu.action = action
            gpu.actions_asked += 1
            return int(gpu.actions_asked)

    def has_ended(self, index: int, ticket: int) -> bool:
        """Whether the model has done what was asked for with this ticket, or failed to."""
        return bool(self.gpu(index).actions_ended >= ticket)

    def load_driver(self, loaded: bool) -> None:
        """Load or unload the driver: without it no call is answered."""
        self.nvml.state.driver_loaded = int(loaded)
        self.nvml.wake()

    def users(self, index: int) -> list[int]:
        """Live processes that have a context on the GPU, dead or alive: they block a reset."""
        return sorted(
            {
                row.pid
                for row in self.board.contexts
                if row.pid and row.device == index and process_start_time(row.pid) == row.start_time
            }
        )

    # --- counters ---

    def ecc(
        self,
        index: int,
        corrected: int,
        uncorrected: int,
        place: str = "dram",
        bank: int | None = None,
        containment: str | None = None,
    ) -> None:
        """Count ECC errors and report them.

        An uncorrected DRAM error takes a spare row of its `bank` (XID 63), or fails to when
        there is none left (XID 64). `containment` adds XID 94 (`contained`) or 95.
        """
        gpu = self.gpu(index)
        if place not in ("dram", "sram"):
            raise ValueError(f"no ECC counters for {place!r}; give dram or sram")
        if corrected < 0 or uncorrected < 0:
            raise ValueError("ECC counts only rise; give numbers of 0 or more")
        if containment is not None and containment not in CONTAINMENTS:
            raise ValueError(f"no containment {containment!r}; give {' or '.join(CONTAINMENTS)}")
        slot = ECC_PLACES.index(place)
        with self.nvml.locked():
            for counters, count in ((gpu.corrected, corrected), (gpu.uncorrected, uncorrected)):
                counters.volatile_count[slot] += count
                counters.aggregate_count[slot] += count
        if corrected:
            self.nvml.post(index, EVENT_SINGLE_BIT, corrected)
        if uncorrected:
            self.nvml.post(index, EVENT_DOUBLE_BIT, uncorrected)
            self.xid(index, xid.DOUBLE_BIT)
            if place == "dram" and not gpu.retires_pages:
                self._remap(index, bank)
            if containment is not None:
                self.xid(index, CONTAINMENTS[containment])

    def _remap(self, index: int, bank: int | None) -> None:
        gpu = self.gpu(index)
        if bank is None:
            bank = gpu.remapped_uncorrectable * _BANK_STRIDE % BANKS
        if not 0 <= bank < BANKS:
            raise ValueError(f"no memory bank {bank}; give 0 … {BANKS - 1}")
        if gpu.bank_used[bank] >= SPARE_ROWS:
            self.xid(index, xid.REMAP_FAILED)
            return
        with self.nvml.locked():
            gpu.bank_used[bank] += 1
            gpu.remapped_uncorrectable += 1
            gpu.remapped_uncorrectable_inactive += 1
            gpu.remap_pending = 1
        self.xid(index, xid.REMAPPED)

    def retire_page(self, index: int, address: int, is_double_bit: bool) -> None:
        """Retire a page of a board without row remapping. Raises ValueError on any other."""
        gpu = self.gpu(index)
        if not gpu.retires_pages:
            raise ValueError("this board remaps rows; use: ecc --uncorrected")
        if gpu.retired_count >= PAGES:
            self.xid(index, xid.REMAP_FAILED)
            return
        with self.nvml.locked():
            page = gpu.retired[gpu.retired_count]
            page.address, page.time_us, page.cause = address, gpu.time_us, int(is_double_bit)
            gpu.retired_count += 1
            gpu.retired_pending = 1
        self.xid(index, xid.REMAPPED)

    def pcie(self, index: int, replays: int = 0, **errors: int) -> None:
        """Count bus replays and errors; names as in `PCIE_COUNTERS`."""
        gpu = self.gpu(index)
        for name in errors:
            if name not in PCIE_COUNTERS:
                raise ValueError(f"no bus counter {name!r}; give one of {', '.join(PCIE_COUNTERS)}")
        with self.nvml.locked():
            gpu.pcie_replays += replays
            for name, count in errors.items():
                gpu.pcie_errors[PCIE_COUNTERS.index(name)] += count

    # --- heat and the driver itself ---

    def temperature(self, index: int, offset_k: float) -> None:
        """Let the GPU measure `offset_k` more than it is; its governor believes it."""
        self.gpu(index).sensor_offset_c = offset_k

    def sink(self, index: int, sink_c: float) -> None:
        """Set what the radiator sees, in °C."""
        self.gpu(index).sink_temperature_c = sink_c

    def hang(self, hang: bool) -> None:
        """Let every call into the driver block, or go on."""
        self.nvml.set_hang(hang)

    def fail(self, call: str, error: int) -> None:
        """Let one call, or `all`, answer an nvmlReturn_t; 0 lets it work again."""
        names = build.calls()
        if call != "all" and call not in names:
            raise ValueError(f"no call {call!r} to fail; give all or a name such as {names[0]}")
        for slot, name in enumerate(names):
            if call in ("all", name):
                self.nvml.state.errors[slot] = error


PCIE_COUNTERS = (
    *("correctable", "naks_received", "receiver", "bad_tlp", "naks_sent", "bad_dllp"),
    *("non_fatal", "fatal", "unsupported_request", "lcrc", "lane"),
)
"""In the order of the fields 173 … 183."""
assert len(PCIE_COUNTERS) == PCIE_ERRORS
