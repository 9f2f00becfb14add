"""How many parameters a script's model has, told without training it and, where it can be, without its memory.

`python -P -m runner.inside.size`, in a folder that holds the script (SCRIPT), with the model settings of an evaluation
(`settings.py`) in the environment. Prints one number: what `charges.py` counts a checkpoint of the same model for.
Exit status as in `evaluate.py`.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from runner.inside.faults import exit_status
from runner.inside.model_worker.parameter_count import count_script


def main() -> None:
    print(count_script(os.environ, Path.cwd()))


if __name__ == "__main__":
    sys.exit(exit_status(main))
