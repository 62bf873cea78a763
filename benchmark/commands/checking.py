"""``check``: does a method keep the rules?"""

from __future__ import annotations

import sys

import click


@click.command()
@click.argument("method")
def check(method: str) -> None:
    """Check on a toy protocol that METHOD (a name or a path, NAME:key=value,…) keeps the rules."""
    from benchmark.check import check as check_method

    found = check_method(method)
    click.echo("\n".join(found.lines()))
    sys.exit(0 if found.passed else 1)


COMMANDS = (check,)
