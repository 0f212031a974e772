"""The full address of one fault: enough to do it again, octet for octet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from flight.campaign import patterns
from flight.campaign.fault_models import Model, Site
from flight.campaign.patterns import Form, Pattern
from flight.campaign.random_draws import RandomDraws


@dataclass(frozen=True)
class Opportunity:
    """A moment and an array, or the operation of a call, that a fault can strike."""

    site: Site
    call: int
    """Number of the call, or of the rest between two calls, within the step."""
    array: str
    form: Form
    weight: int
    """Octets, or operations: a fault strikes an opportunity in proportion to it."""
    parts: int = 1
    """Terms of a sum, or uses of an operand, that it can strike."""
    is_float: bool = True


@dataclass(frozen=True)
class Address:
    """Where, when and what: applied to the same kernel and input it gives the same wrong bits."""

    site: Site
    model: Model
    step: int
    call: int
    array: str
    part: int
    """For an accumulator: how many terms were summed; for a load: which use of the operand."""
    pattern: Pattern
    bit: int | None = None
    """For a single flipped bit of a float: its number in the element, 0 the lowest."""

    def printed(self) -> dict[str, Any]:
        """The address as it stands in files and on the screen; the mask in hexadecimal."""
        shown = asdict(self)
        shown.update(shown.pop("pattern"))
        shown["site"], shown["model"] = self.site.value, self.model.value
        shown["mask"] = self.pattern.mask.hex()
        return shown


class NothingThere(ValueError):
    """A kernel offers nothing to strike at a site; the message says which."""


def draw(
    site: Site, model: Model, opportunities: Sequence[Opportunity], draws: RandomDraws, step: int
) -> Address:
    """One fault, equally likely over all octets (or operations) that the site offers."""
    offered = [each for each in opportunities if each.site is site]
    if not offered:
        raise NothingThere(f"nothing is in {site.value} here")
    place = draws.below(sum(each.weight for each in offered))
    for chosen in offered:
        if place < chosen.weight:
            break
        place -= chosen.weight
    part = draws.below(chosen.parts)
    pattern = patterns.draw(model, chosen.form, draws)
    bit = None
    if model is Model.SINGLE and chosen.is_float:
        lowest = pattern.mask[0].bit_length() - 1
        bit = 8 * (pattern.offset % chosen.form.itemsize) + lowest
    return Address(site, model, step, chosen.call, chosen.array, part, pattern, bit)
