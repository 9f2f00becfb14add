"""How a command says that it cannot go on."""

from __future__ import annotations

from typing import NoReturn

import typer
from rich.console import Console

errors = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)


def fail(message: str, status: int = 2) -> NoReturn:
    """Ends the command with this exit status."""
    errors.print(f"ERROR: {message}")
    raise typer.Exit(status)
