"""The command ``cssbench``. Nothing heavy is imported before a command needs it."""

from __future__ import annotations

import importlib
import pkgutil
import warnings
from typing import Any

import click

from benchmark import __version__, commands
from benchmark.errors import BenchError


class _Group(click.Group):
    """Turns the errors a user can cause into one sentence on standard error and exit code 2."""

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except BenchError as error:
            click.echo(f"cssbench: {error}", err=True)
            context.exit(2)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="cssbench")
def main() -> None:
    """Benchmark continual semantic segmentation methods: accuracy, forgetting and cost."""
    # Raised inside of torch and timm, about their own code: nothing a user could act on.
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"torch\.|timm\.")


for _module in pkgutil.iter_modules(commands.__path__):
    for _command in getattr(importlib.import_module(f"benchmark.commands.{_module.name}"), "COMMANDS", ()):
        main.add_command(_command)
