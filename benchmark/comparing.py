"""Forecasts of several methods, side by side: those that cannot be forecast are kept, with the reason."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from functools import partial
from typing import Any, Literal, get_args, get_origin, get_type_hints

import torch

from benchmark.errors import MethodError
from benchmark.estimate import CPU, Forecast, forecast
from benchmark.finding import Variant, find_method, method_names
from benchmark.fitting import Fit, largest_batch
from benchmark.method import Method
from benchmark.protocol import Protocol
from benchmark.run import check_fits


@dataclass(frozen=True)
class Estimate:
    """A forecast, and how many images fit where that was asked for."""

    forecast: Forecast
    fit: Fit | None

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        fit = {"fit": asdict(self.fit)} if self.fit else {}
        return {**self.forecast.to_json(), **fit}


@dataclass(frozen=True)
class Refusal:
    """A method that cannot be forecast on the protocol, and why, in one sentence."""

    method: str
    reason: str


@dataclass(frozen=True)
class Comparison:
    """Methods that could be forecast and those that could not, each in the order they were asked for."""

    estimates: tuple[Estimate, ...]
    refused: tuple[Refusal, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "estimates": [estimate.to_json() for estimate in self.estimates],
            "refused": [asdict(refusal) for refusal in self.refused],
        }


@dataclass(frozen=True)
class Asked:
    """What to forecast, and for what: None leaves the preset's own. ``limit_bytes`` None: no fit.

    ``ends_only`` traces the first step and the last alone.
    """

    protocol: Protocol
    batch: int | None = None
    precision: str | None = None
    limit_bytes: int | None = None
    device: torch.device = CPU
    ends_only: bool = False

    def estimate(self, variant: Variant) -> Estimate:
        """Forecast one method. Raises ProtocolError or MethodError, one sentence."""
        check_fits(variant, self.protocol)
        found = forecast(
            variant,
            self.protocol,
            batch=self.batch,
            precision=self.precision,
            device=self.device,
            steps={0, len(self.protocol.steps) - 1} if self.ends_only else None,
        )
        if self.limit_bytes is None:
            return Estimate(found, None)
        fit = partial(largest_batch, precision=self.precision, device=self.device, known=found)
        return Estimate(found, fit(variant, self.protocol, self.limit_bytes))


def every_variant() -> list[str]:
    """Return all methods, and those that ship another network than they train on top of each other choice.

    These are worth seeing on top of anything: what they cost is their own. The others' costs with another
    ``on`` are those of what they stand on.
    """
    return [spec for name in method_names() for spec in (name, *_compositions(find_method(name).method))]


def _compositions(method: Method) -> Iterator[str]:
    kind = type(method)
    hint = get_type_hints(kind, include_extras=True).get("on")
    if get_origin(hint) is Literal and "deploy" in vars(kind):
        default = next(field.default for field in fields(kind) if field.name == "on")  # type: ignore[arg-type]
        yield from (f"{method.name}:on={below}" for below in get_args(hint) if below != default)


def compare(specs: Iterable[str], asked: Asked) -> Comparison:
    """Forecast each of ``specs``; a method that cannot be is refused with its reason and stops no other."""
    found: list[Estimate] = []
    refused: list[Refusal] = []
    for spec in specs:
        try:
            found.append(asked.estimate(find_method(spec)))
        except MethodError as error:
            refused.append(Refusal(spec, str(error)))
    return Comparison(tuple(found), tuple(refused))
