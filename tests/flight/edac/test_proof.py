"""A kernel that rotted where it was kept is found before it touches anything."""

from __future__ import annotations

from typing import Any

import pytest

from flight.edac import cpu, proof
from flight.edac.blocks import Region

pytestmark = [pytest.mark.numerical, pytest.mark.portable]


@pytest.mark.parametrize("kernel", ["encode_hashed", "check", "check_hashed", "mend"])
@pytest.mark.verifies("VA-EDC-11")
def test_a_kernel_with_wrong_answers_is_named_before_the_first_use(
    kernel: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rotten(*_: Any) -> Any:
        return (cpu.CLEAN, 0, 0) if kernel == "mend" else 2

    monkeypatch.setattr(cpu, kernel, rotten)
    proof.prove.cache_clear()
    with pytest.raises(proof.KernelWrong, match=f"kernel {kernel} gives wrong answers; remove"):
        Region(bytes(64))
    monkeypatch.undo()
    proof.prove()
