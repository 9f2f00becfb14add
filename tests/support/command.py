"""The command line in this process, for tests to which the process itself does not matter: it costs a tenth."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from click.testing import Result
from typer.testing import CliRunner

from env.cli import app


def ringfence(*arguments: str, cwd: Path | None = None) -> Result:
    """`ringfence` without the RINGFENCE_* settings of whoever runs the tests, in a folder."""
    ours = dict.fromkeys((name for name in os.environ if name.startswith("RINGFENCE_")), None)
    with contextlib.chdir(cwd or Path.cwd()):
        return CliRunner().invoke(app, list(arguments), catch_exceptions=False, env=ours)
