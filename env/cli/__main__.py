"""`python -m env.cli`: the same command without the entry point."""

from env.cli.main import app

app()
