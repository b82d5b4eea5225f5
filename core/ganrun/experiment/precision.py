"""Whether a device computes in bfloat16 itself, or imitates it."""

from __future__ import annotations

from pathlib import Path

import torch

CPU = Path("/proc/cpuinfo")
UNITS = {"flags": {"avx512_bf16", "amx_bf16", "avx_ne_convert"}, "Features": {"bf16"}}  # on x86; on ARM


def computes_bfloat16(device: torch.device, cpu: Path = CPU) -> bool:
    """Whether a device has units for bfloat16. True where that is not known, as on a CPU outside Linux.

    cpu: where Linux says what the CPU can do.
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu" or not cpu.is_file():
        return True
    for line in cpu.read_text(errors="replace").splitlines():
        name, _, words = line.partition(":")
        if name.strip() in UNITS:
            return bool(UNITS[name.strip()] & set(words.split()))
    return True
