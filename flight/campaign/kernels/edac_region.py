"""Memory under the code: it lies for a while, is struck, and is scrubbed."""

from __future__ import annotations

from dataclasses import dataclass

from flight.campaign.bench import Bench
from flight.campaign.fault_models import Shield
from flight.campaign.kernels.common import CommonSettings
from flight.campaign.kernels.subject import ArrayKernel, generator
from flight.campaign.patterns import Array
from flight.campaign.settings import Misfit, quantity, share, whole
from flight.edac.code import Code


@dataclass(frozen=True)
class EdacRegionSettings(CommonSettings):
    """`[kernel.edac-region]`."""

    size: float = quantity("octets", 64, 64 * 2**20, 256 * 1024.0)
    n: int = whole(64, 4096, 512)
    """Symbols of 64 octets in a block."""
    tolerance: float = share(0.0, 1.0, 0.0)

    def __post_init__(self) -> None:
        if self.n & (self.n - 1):
            raise Misfit("n", f"n = {self.n} is no power of two; write 64, 128, … 4096")


class EdacRegion(ArrayKernel):
    """One region of random octets."""

    def __init__(self, settings: EdacRegionSettings, seed: int) -> None:
        self.settings = settings
        self.tolerance = settings.tolerance
        self.code = Code(settings.n)
        self._seed = seed

    def make(self, number: int) -> dict[str, Array]:
        words = int(self.settings.size) // 4
        return {"data": generator(self._seed, number).standard_normal(words).astype("float32")}

    def run(self, bench: Bench, inputs: dict[str, Array]) -> dict[str, Array]:
        bench.rest(**inputs)
        return inputs

    def timed(self, _shield: Shield) -> None:
        """There is no work beside which the time of the code would be an overhead."""
