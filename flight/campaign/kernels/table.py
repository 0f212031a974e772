"""The kernels that are shipped, by the names that campaign files call them."""

from __future__ import annotations

from flight.campaign.fault_models import OF_SYSTEM, Shield, Site
from flight.campaign.kernels.edac_region import EdacRegion, EdacRegionSettings
from flight.campaign.kernels.imaging import Imaging, ImagingSettings
from flight.campaign.kernels.kind import Kind, Kinds
from flight.campaign.kernels.matmul import Matmul, MatmulSettings
from flight.campaign.kernels.nanogpt_step import NanogptStep, NanogptStepSettings
from flight.campaign.kernels.payload import Payload, PayloadSettings

_MEMORY = (Shield.NONE, Shield.EDAC)
_RESULTS = (*_MEMORY, Shield.ABFT, Shield.DMR, Shield.TMR)
_INSIDE = (Site.ACCUMULATOR, Site.LOAD)

KINDS: Kinds = {
    "matmul": Kind(MatmulSettings, Matmul, (Site.HOST, Site.DEVICE, *_INSIDE), _RESULTS),
    "nanogpt-step": Kind(
        NanogptStepSettings, NanogptStep, (Site.HOST, Site.DEVICE, *_INSIDE), _RESULTS
    ),
    "imaging": Kind(
        ImagingSettings,
        Imaging,
        (Site.HOST, *_INSIDE, Site.KERNEL),
        (*_MEMORY, Shield.KNOWN, *_RESULTS[2:]),
    ),
    "edac-region": Kind(EdacRegionSettings, EdacRegion, (Site.HOST,), _MEMORY),
    "payload": Kind(PayloadSettings, Payload, OF_SYSTEM, (Shield.SYSTEM,)),
}
