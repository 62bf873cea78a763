"""A profile as tables for the terminal and as a picture."""

from __future__ import annotations

from pathlib import Path

from benchmark.profiling import PARTS, TimeProfile

TOP = 12
_WIDTH = 52
# Okabe and Ito's palette, which is told apart by the colour-blind; one colour a part.
_COLOURS = dict(
    zip(PARTS, ("#e69f00", "#56b4e9", "#0072b2", "#cc79a7", "#d55e00", "#009e73", "#7a838c"), strict=True)
)


def profile_tables(found: TimeProfile) -> str:
    """Return milliseconds and shares of an iteration by part, and of its slowest operators."""
    whole = found.seconds
    parts = [f"{name:<{_WIDTH}}{_share(value, whole)}" for name, value in found.parts.items()]
    own = sum(op.seconds for op in found.operators)
    operators = [
        f"{_short(op.name, _WIDTH - 2):<{_WIDTH}}{_share(op.seconds, own)}{op.calls:>10.1f}"
        for op in found.operators[:TOP]
    ]
    return "\n".join(
        [
            profile_title(found),
            f"{'part':<{_WIDTH}}{'ms':>10}{'%':>8}",
            *parts,
            f"{'iteration':<{_WIDTH}}{_share(whole, whole)}",
            f"{'images a second':<{_WIDTH}}{found.batch_size / whole:>10.2f}",
            "",
            f"{'operator, its own time':<{_WIDTH}}{'ms':>10}{'%':>8}{'calls':>10}",
            *operators,
        ]
    )


def profile_title(found: TimeProfile) -> str:
    """Return one line that says what was profiled, and on what."""
    machine = found.environment.gpu or f"{found.environment.cpu}, threads: {found.environment.threads}"
    return (
        f"{found.variant} on {found.protocol}, {found.model}, step {found.step}: mean of {found.iterations} "
        f"iterations of {found.batch_size} images at {found.image_size} x {found.image_size}, {machine}, "
        f"{found.environment.precision}"
    )


def draw_profile(found: TimeProfile, path: Path) -> None:
    """Draw the parts as one bar, the slowest operators below it; the suffix of ``path`` says the format."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(profile_title(found), fontsize=8, wrap=True)
    top, below = figure.subplots(2, 1, height_ratios=[1, 4])
    left = 0.0
    for name, seconds in found.parts.items():
        top.barh([0], [1000 * seconds], left=1000 * left, color=_COLOURS[name], label=name)
        left += seconds
    top.set_yticks([])
    top.set_xlabel("ms of an iteration, by part", fontsize=8)
    figure.legend(ncols=len(found.parts), fontsize=8, frameon=False, loc="outside lower center")
    slowest = found.operators[:TOP][::-1]
    below.barh(
        [_short(op.name, 40) for op in slowest], [1000 * op.seconds for op in slowest], color="#7a838c"
    )
    below.set_xlabel("ms of an iteration, by operator, each one's own", fontsize=8)
    for axes in (top, below):
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=7)
    figure.savefig(path, dpi=150)


def _short(name: str, width: int) -> str:
    """Keep both ends of a long name: kernels differ in either."""
    return name if len(name) <= width else f"{name[: width // 2 - 1]}…{name[-(width - width // 2) :]}"


def _share(seconds: float, whole: float) -> str:
    return f"{1000 * seconds:>10.2f}{100 * seconds / whole if whole else 0:>8.1f}"
