"""The words of a campaign: sites, fault models, levels and outcomes."""

from __future__ import annotations

import enum

from flight.fault_tolerance.levels import Level


@enum.unique
class Site(str, enum.Enum):
    """Where a fault strikes."""

    HOST = "host memory"
    """Arrays that lie in the host's memory between two calls."""
    DEVICE = "device memory"
    """Arrays of the compute device between two launches."""
    ACCUMULATOR = "accumulator"
    """Partial sums in the midst of a call; of a call that sums nothing, its results."""
    LOAD = "load"
    """Operands as one call reads them; memory keeps what is right."""
    KERNEL = "stuck kernel"
    """The code that computes: from one call on it is wrong in the same way each time."""
    DRIVER = "driver"
    """The GPU's driver reports an XID while a job runs."""
    PROCESS = "process"
    """The job's process dies or stands still."""
    LINK = "link"
    """Messages between station and payload."""


@enum.unique
class Model(str, enum.Enum):
    """What a fault does where it strikes."""

    SINGLE = "single bit"
    ADJACENT = "two adjacent bits"
    RANDOM = "random value"
    ZERO = "zero"
    WARP = "warp block"
    BURST = "burst"
    ROW = "row"
    COLUMN = "column"
    CONSTANT = "constant result"
    LANE = "stuck lane"
    XID = "xid"
    CRASH = "crash"
    KILL = "kill"
    HANG = "hang"
    FLIP = "flipped octets"
    REPLAY = "replayed"
    DROP = "dropped"


MEMORY_MODELS = (
    Model.SINGLE,
    Model.ADJACENT,
    Model.RANDOM,
    Model.ZERO,
    Model.WARP,
    Model.BURST,
    Model.ROW,
    Model.COLUMN,
)
"""What may befall arrays and values."""

MODELS_OF = {
    Site.KERNEL: (Model.CONSTANT, Model.LANE),
    Site.DRIVER: (Model.XID,),
    Site.PROCESS: (Model.CRASH, Model.KILL, Model.HANG),
    Site.LINK: (Model.FLIP, Model.REPLAY, Model.DROP),
}
"""What befalls the sites that hold no array; a campaign does not choose among these."""


OF_SYSTEM = (Site.DRIVER, Site.PROCESS, Site.LINK)
"""Sites that a whole payload offers."""


def models_of(site: Site, chosen: tuple[Model, ...]) -> tuple[Model, ...]:
    """The models that a campaign which chose some runs at a site."""
    return MODELS_OF.get(site, chosen)


@enum.unique
class Shield(str, enum.Enum):
    """What protects a kernel in a campaign."""

    NONE = "none"
    EDAC = "edac"
    """Memory at rest is under the code; results are not checked."""
    KNOWN = "known answers"
    """Memory as with edac, and problems with known answers between the real ones."""
    ABFT = "abft"
    DMR = "dmr"
    TMR = "tmr"
    """These three: memory as with edac, results at that level, known answers where there are."""
    SYSTEM = "system"
    """The whole payload: supervision, retries, recovery of the GPU, authentication."""

    @property
    def guards_memory(self) -> bool:
        """Whether memory at rest is under the code."""
        return self not in (Shield.NONE, Shield.SYSTEM)

    @property
    def asks_known_answers(self) -> bool:
        """Whether a kernel that can be asked for known answers is."""
        return self is Shield.KNOWN or self.results is not Level.NONE

    @property
    def results(self) -> Level:
        """How results are protected."""
        return _RESULTS.get(self, Level.NONE)


_RESULTS = {Shield.ABFT: Level.ABFT, Shield.DMR: Level.DMR, Shield.TMR: Level.TMR}


@enum.unique
class Outcome(str, enum.Enum):
    """What became of a trial: exactly one of these."""

    MASKED = "masked"
    """The fault made no difference: every output has the right bits, nothing was noticed."""
    CORRECTED = "corrected"
    """Set right in place, and every output is right."""
    RECOVERED = "detected-recovered"
    """Noticed, done again or outvoted or rolled back, and every output is right."""
    CRASH = "DUE crash"
    """The process ended; there is no result."""
    HANG = "DUE hang"
    """No result within the deadline."""
    ABORT = "DUE abort"
    """Noticed, could not be set right, and said so; there is no result."""
    TOLERABLE = "SDC tolerable"
    """Outputs are wrong and nobody knows, within the tolerance of the kernel."""
    CRITICAL = "SDC critical"
    """Outputs are wrong beyond the tolerance, and nobody knows."""
    FALSE_POSITIVE = "false positive"
    """Without a fault, something was noticed."""
    CLEAN = "clean"
    """Without a fault, nothing was noticed and every output is right."""

    @property
    def is_silent(self) -> bool:
        """Whether it is silent data corruption."""
        return self in (Outcome.TOLERABLE, Outcome.CRITICAL)
