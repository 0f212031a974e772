"""CRC-16/CCITT-FALSE, the packet error control of ECSS-E-ST-70-41C annex B."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import crcmod.predefined

CHECK_VALUE = 0x29B1
"""CRC of the nine octets b"123456789", the published check value of this polynomial."""

crc16 = cast("Callable[[bytes], int]", crcmod.predefined.mkCrcFun("crc-ccitt-false"))
