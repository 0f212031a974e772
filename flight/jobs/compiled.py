"""What Numba compiles for: it decides bits as the kernels of BLAS do."""

from __future__ import annotations

import hashlib

from numba.core.registry import cpu_target


def target() -> tuple[str, str, str]:
    """Platform and processor by name, and a digest of the features that LLVM may use.

    A processor of one name lacks some of them in one virtual machine and has them in another.
    """
    platform, processor, features = cpu_target.target_context.codegen().magic_tuple()
    digest = hashlib.sha256(str(features).encode()).hexdigest()
    return str(platform), str(processor), digest[:12]
