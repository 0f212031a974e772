"""What the world can do to an emulated board: errors, events, loss, heat, silence."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

from icd.board_state import BoardState
from sim_hw.nvml_library import build
from sim_hw.nvml_library.state import ECC_PLACES, Gpu, StateFile

EVENT_SINGLE_BIT, EVENT_DOUBLE_BIT, EVENT_XID, EVENT_RECOVERY = 0x1, 0x2, 0x8, 0x8000
RECOVERY_NONE, RECOVERY_GPU_RESET, RECOVERY_NODE_REBOOT = 0, 1, 2
XID_OFF_BUS, XID_DOUBLE_BIT = 79, 48
NEEDS_RESET = frozenset({46, 62, 64, 95, 109, 110, 119, 120, 136, 140, 143, 158})
"""XIDs after which the driver recommends a GPU reset (NVIDIA XID catalogue)."""


class World:
    """The open state files of one emulated board."""

    def __init__(self, folder: Path) -> None:
        self.nvml = StateFile.attach(folder / "nvml.state")
        self.board = BoardState.attach(folder / "board.state")

    def __enter__(self) -> World:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the files; what was injected stays."""
        self.board.close()
        self.nvml.close()

    def gpu(self, index: int) -> Gpu:
        """The state of one GPU. Raises ValueError when the board has no such GPU."""
        count = self.nvml.state.gpu_count
        if not 0 <= index < count:
            raise ValueError(f"this board has no GPU {index}; give 0 … {count - 1}")
        gpu: Gpu = self.nvml.state.gpus[index]
        return gpu

    def xid(self, index: int, code: int) -> None:
        """Report an XID; 79 takes the GPU off the bus, others may ask for a reset."""
        if not 1 <= code <= 999:
            raise ValueError(f"XID {code} does not exist; give 1 … 999")
        gpu = self.gpu(index)
        if code == XID_OFF_BUS:
            self.lose(index)
            return
        self.nvml.post(index, EVENT_XID, code)
        if code in NEEDS_RESET:
            gpu.recovery_action = RECOVERY_GPU_RESET
            self.nvml.post(index, EVENT_RECOVERY, RECOVERY_GPU_RESET)

    def lose(self, index: int) -> None:
        """The GPU falls off the bus: XID 79, then every call answers that it is lost."""
        gpu = self.gpu(index)
        gpu.recovery_action = RECOVERY_NODE_REBOOT
        self.board.devices[index].lost = 1
        self.nvml.post(index, EVENT_XID, XID_OFF_BUS)
        gpu.lost = 1
        self.nvml.wake()

    def restore(self, index: int) -> None:
        """Reset the GPU: it answers again, its memory and its volatile counters are gone."""
        gpu = self.gpu(index)
        row = self.board.devices[index]
        row.generation += 1
        with self.nvml.locked():
            for counters in (gpu.corrected, gpu.uncorrected):
                counters.volatile_count = type(counters.volatile_count)()
            gpu.remap_pending = 0
            gpu.recovery_action = RECOVERY_NONE
            gpu.clock_lock_min_mhz = gpu.clock_lock_max_mhz = 0
            gpu.power_limit_mw = gpu.power_limit_default_mw
            gpu.lost = 0
        row.lost = 0

    def ecc(self, index: int, corrected: int, uncorrected: int, place: str = "dram") -> None:
        """Count ECC errors and report them; an uncorrected DRAM error also asks for a row remap."""
        gpu = self.gpu(index)
        if place not in ("dram", "sram"):
            raise ValueError(f"no ECC counters for {place!r}; give dram or sram")
        if corrected < 0 or uncorrected < 0:
            raise ValueError("ECC counts only rise; give numbers of 0 or more")
        slot = ECC_PLACES.index(place)
        with self.nvml.locked():
            for counters, count in ((gpu.corrected, corrected), (gpu.uncorrected, uncorrected)):
                counters.volatile_count[slot] += count
                counters.aggregate_count[slot] += count
            if uncorrected and place == "dram":
                gpu.remapped_uncorrectable += 1
                gpu.remap_pending = 1
        if corrected:
            self.nvml.post(index, EVENT_SINGLE_BIT, corrected)
        if uncorrected:
            self.nvml.post(index, EVENT_DOUBLE_BIT, uncorrected)
            self.nvml.post(index, EVENT_XID, XID_DOUBLE_BIT)

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
