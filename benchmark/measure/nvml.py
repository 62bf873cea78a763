"""The GPU that torch uses, as NVML sees it (package ``nvidia-ml-py``, module ``pynvml``)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

import torch


class NvmlUnavailableError(Exception):
    """NVML cannot answer; the message says why, in a few words."""


class Gpu(NamedTuple):
    """An open device: the ``pynvml`` module, and its handle of the physical GPU."""

    nvml: Any
    handle: Any

    @property
    def split(self) -> bool:
        """Whether MIG is on: counters of the GPU then cover all of its instances."""
        with suppress(self.nvml.NVMLError):  # NotSupported: a GPU that knows no MIG
            return bool(self.nvml.nvmlDeviceGetMigMode(self.handle)[0])
        return False

    def processes(self) -> dict[int, int | None]:
        """Return the bytes of each computing process by its id; None where the driver does not tell."""
        running = self.nvml.nvmlDeviceGetComputeRunningProcesses(self.handle)
        return {process.pid: process.usedGpuMemory for process in running}


@contextmanager
def opened(device: torch.device) -> Iterator[Gpu]:
    """Open the physical GPU behind torch's CUDA ``device``, whatever CUDA_VISIBLE_DEVICES renumbers.

    Raises NvmlUnavailableError for a device that is no GPU, without NVML, its driver or permission. Errors
    of NVML inside the block are raised as that, too.
    """
    if device.type != "cuda":
        raise NvmlUnavailableError(f"a {device.type} device has no NVML counters")
    try:
        import pynvml
    except ImportError as error:
        raise NvmlUnavailableError("the package nvidia-ml-py is not installed") from error
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        raise NvmlUnavailableError(f"NVML: {error}") from error
    try:
        yield Gpu(pynvml, _handle(pynvml, torch.cuda.get_device_properties(device)))
    except pynvml.NVMLError as error:
        raise NvmlUnavailableError(f"NVML: {error}") from error
    finally:
        with suppress(pynvml.NVMLError):
            pynvml.nvmlShutdown()


def _handle(nvml: Any, properties: Any) -> Any:
    """Find the GPU by its UUID; that of a MIG instance leads to the GPU it is a part of."""
    try:
        return nvml.nvmlDeviceGetHandleByUUID(f"GPU-{properties.uuid}")
    except nvml.NVMLError:
        instance = nvml.nvmlDeviceGetHandleByUUID(f"MIG-{properties.uuid}")
        return nvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(instance)


def process_bytes(device: torch.device) -> int | None:
    """Return the bytes this process holds on ``device``, context and caches included.

    None without NVML, or where it does not list this process (a container with ids of its own).
    """
    try:
        with opened(device) as gpu:
            return gpu.processes().get(os.getpid())
    except NvmlUnavailableError:
        return None
