"""The `ringfence` command: the service, in a source tree or installed, whatever lies in the working folder."""

from __future__ import annotations

import importlib.util
import runpy
import sys
from pathlib import Path

_HERE = Path(__file__).parent
_INSTALLED = _HERE / "service"
"""The service's packages in an installation, out of sight of who imports `ringfence`: `env`, `tasks` and `runner` are
names that others have files of."""


def main() -> None:
    if importlib.util.find_spec("typer") is None:
        sys.exit("This is Ringfence's client alone. The service is an extra of it: pip install 'ringfence[service]'")
    packages = _INSTALLED if _INSTALLED.is_dir() else _HERE.parents[2]
    sys.path.insert(0, str(packages))  # before the working folder's files, which PYTHONPATH or -m may have put there
    runpy.run_module("env.cli", run_name="__main__")


if __name__ == "__main__":
    main()
