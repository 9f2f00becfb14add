"""A model worker: the only process of an evaluation that runs the agent's code, in a sandbox of its own.

`python -P -m runner.inside.worker`, in a folder that holds the agent's script (SCRIPT) and with MEET_DIR, answers the
evaluator's requests until it is left: `weights` (a piece of the checkpoint, not answered), `load` (model settings),
`score`, `distribution` and `operations` (token arrays). Its first frame, sent before any of the agent's code is
imported, says that the process itself is sound. It is given tokens and returns log-probabilities; it sees no evaluation
data, no labels, no file of the training run and no metrics.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from runner.inside.model_worker.worker import serve
from runner.inside.rendezvous import join
from runner.inside.wire import WireClosed

PATIENCE_S = 180.0
"""Seconds to wait for the evaluator to be there."""

if __name__ == "__main__":
    # The evaluator may leave at any time, also while it is being answered.
    with contextlib.suppress(WireClosed):
        serve(join(Path(os.environ["MEET_DIR"]), PATIENCE_S), Path.cwd() / os.environ["SCRIPT"])
    os._exit(0)  # whatever the agent's code registered for the end of the process does not run
