"""What is said where Numba is told not to compile."""

from __future__ import annotations

import pytest
from numba import config

from flight.edac.compiled_kernels import kept


@pytest.mark.verifies("VA-JOB-14")
def test_numba_that_is_told_not_to_compile_is_named_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(config, "DISABLE_JIT", 1, raising=False)
    with pytest.raises(RuntimeError, match=r"NUMBA_DISABLE_JIT is set, .* unset it"):
        kept("int64(int64)")(abs)
