"""The machine a run runs on: device, precision, and what the record says of them."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import set_seed
from torch import Tensor

from benchmark.allocator import keep_freed_memory
from benchmark.errors import ProtocolError
from benchmark.method import Output
from benchmark.preset import ModelPreset
from benchmark.record import Environment
from benchmark.seeding import stream_seed

DeviceChoice = Literal["auto", "cpu", "cuda"]
_PACKAGES = ("torch", "torchvision", "timm", "peft", "accelerate", "fvcore", "numpy", "pillow")


@dataclass(frozen=True)
class Runtime:
    """Device and precision of a run, through accelerate, and the run's random streams."""

    accelerator: Accelerator
    preset: ModelPreset
    seed: int

    @property
    def device(self) -> torch.device:
        """Where models and batches live."""
        return self.accelerator.device

    def reseed(self, purpose: str, step: int) -> None:
        """Start the global random streams (Python, NumPy, torch) of one purpose in one step."""
        set_seed(stream_seed(self.seed, purpose, step) % 2**32)

    def normalise(self, image: Tensor) -> Tensor:
        """Turn uint8 images (B, 3, H, W) on the device into normalised floats by the preset's statistics."""
        return (image.float() - self._mean) / self._std

    @cached_property
    def _mean(self) -> Tensor:
        return self._by_channel(self.preset.mean)

    @cached_property
    def _std(self) -> Tensor:
        return self._by_channel(self.preset.std)

    def _by_channel(self, values: Sequence[float]) -> Tensor:
        """Return 255 times ``values`` as (1, 3, 1, 1). Once a run: a GPU is waited for until it has them.

        Multiplied by numpy, so that all steps count the same operators.
        """
        scaled = np.array(values, np.float32) * np.float32(255)
        return torch.tensor(scaled, device=self.device).view(1, 3, 1, 1)

    def environment(self) -> Environment:
        """Describe the machine for the record."""
        cuda = self.device.type == "cuda"
        return Environment(
            device="cuda" if cuda else "cpu",
            cpu=_cpu_name(),
            gpu=torch.cuda.get_device_name(self.device) if cuda else None,
            threads=torch.get_num_threads(),
            precision=self.preset.precision,
            platform=platform.platform(terse=True),
            python=platform.python_version(),
            cuda=torch.version.cuda if cuda else None,
            packages={name: found for name in _PACKAGES if (found := _version(name))},
        )


def start_runtime(choice: DeviceChoice, preset: ModelPreset, seed: int) -> Runtime:
    """Choose the device and precision. Raises ProtocolError where CUDA is asked for and absent."""
    if choice == "cuda" and not torch.cuda.is_available():
        raise ProtocolError(
            "device 'cuda' was asked for, but torch sees no CUDA device here; use --device cpu or auto"
        )
    AcceleratorState._reset_state(reset_partial_state=True)  # one process may run several presets in turn
    use_cpu = choice == "cpu" or not torch.cuda.is_available()
    if use_cpu:
        keep_freed_memory()
    mixed = "bf16" if preset.precision == "bf16" else "no"
    return Runtime(Accelerator(cpu=use_cpu, mixed_precision=mixed), preset, seed)


def full_precision(output: Output) -> Output:
    """Return ``output`` in float32, so that losses never compute in half precision."""
    return Output(
        output.logits.float(),
        output.features.float(),
        tuple(stage.float() for stage in output.stages),
        tuple(branch.float() for branch in output.branches),
    )


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
