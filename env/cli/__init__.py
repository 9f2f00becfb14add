"""The `ringfence` command."""

from env.cli.main import app

__all__ = ["app"]
