"""The XID codes that matter in flight, with NVIDIA's names (XID catalogue, r580)."""

from __future__ import annotations

NAMES = {
    8: "engine idle timeout",
    13: "graphics engine exception",
    31: "GPU memory page fault",
    32: "corrupted push buffer",
    43: "GPU stopped processing a channel",
    45: "channel removed after an earlier error",
    46: "GPU stopped processing",
    48: "double-bit ECC error",
    61: "internal micro-controller breakpoint",
    62: "internal micro-controller halt",
    63: "row remapping recorded",
    64: "row remapping failed",
    74: "NVLink error",
    79: "GPU has fallen off the bus",
    92: "high single-bit ECC error rate",
    94: "contained memory error",
    95: "uncontained memory error",
    109: "context switch timeout",
    110: "security fault",
    119: "GPU system processor timeout",
    120: "GPU system processor error",
    121: "corrected C2C error",
    136: "link training failed",
    140: "unrecovered ECC error",
    143: "GPU initialisation failed",
    154: "recovery action changed",
    156: "resource retirement",
    157: "resource retirement failed",
    158: "GPU fatal timeout",
    171: "uncorrectable DRAM error",
    172: "uncorrectable SRAM error",
}


def name(code: int) -> str:
    """What an XID means, or only its number when it is not in the table."""
    return f"XID {code}: {NAMES[code]}" if code in NAMES else f"XID {code}"
