"""What the programs inside the sandbox and those who start them have to call by the same name. It imports nothing, so
that both can have it.
"""

from __future__ import annotations

# -P: a work folder that holds the agent's files must not come first on our own programs' import path.
EVALUATE = ("python", "-P", "-m", "runner.inside.evaluate")
"""The command that scores a checkpoint; LANGUAGE_MODELLING or LM_EVAL follows as its argument."""
WORKER = ("python", "-P", "-m", "runner.inside.worker")
"""The command that runs a model worker, the only process that loads the agent's script during an evaluation."""
REHEARSE = ("python", "-P", "-m", "runner.inside.rehearse")
"""The command that checks a script before a test is spent on it."""
SIZE = ("python", "-P", "-m", "runner.inside.size")
"""The command that counts the parameters of a script's model."""
LANGUAGE_MODELLING, LM_EVAL = "language-modelling", "lm-eval"
"""What can be evaluated: losses and perplexities on held-out text, and the downstream tasks of the lm-eval harness."""

FINE, AGENT_AT_FAULT, WE_AT_FAULT = 0, 1, 2
"""Exit statuses of these commands: the work is done; the agent's model or script is at fault; settings, data, devices
or the program itself are."""

AUDITOR = "audit"
"""The name of the worker that sees samples only."""
REFERENCE = "reference"
"""The name of the worker that runs our own unedited script, beside which a certificate is precise."""
DISMISSED, GONE = "dismissed", "gone"
"""Files in the folder where a worker meets its evaluator. An evaluator that needs a worker no more makes the first, and
finds the second when no process of the worker is left."""


def worker_names(scorers: int) -> list[str]:
    """The names of all workers of an evaluation with so many scorers: the auditor first."""
    return [AUDITOR, *(f"score-{number}" for number in range(1, scorers + 1))]
