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
FAILED_UNHEARD, DIED_UNHEARD, LATE_UNHEARD, REFUSED_UNHEARD = 3, 4, 5, 6
"""Exit statuses of an evaluation in which the agent's model failed after it was shown evaluation data."""
UNHEARD = {
    FAILED_UNHEARD: "the model raised an error on evaluation data, though not on random tokens of the same shapes",
    DIED_UNHEARD: "the model's process ended on evaluation data, though not on random tokens of the same shapes",
    LATE_UNHEARD: "the model gave no answer in time on evaluation data",
    REFUSED_UNHEARD: "the model's answer on evaluation data was not one that a model can give",
}
"""All that an agent hears of such a failure, by exit status: what the model says of evaluation data is passed on to
nobody, because it could spell the data."""

AUDITOR = "audit"
"""The name of the worker that sees samples and the exam."""
REFERENCE = "reference"
"""The name of the worker that runs our own unedited script, where there is one."""
DISMISSED, GONE = "dismissed", "gone"
"""Files in the folder where a worker meets its evaluator. An evaluator that needs a worker no more makes the first, and
finds the second when no process of the worker is left."""


def worker_names(scorers: int, *, reference: bool = False) -> list[str]:
    """The names of all workers of an evaluation with so many scorers: the auditor first, a reference last."""
    names = [AUDITOR, *(f"score-{number}" for number in range(1, scorers + 1))]
    return [*names, REFERENCE] if reference else names


COST_LENGTHS = (256, 512, 1024)
"""Tokens of the inputs by which a model's cost is compared, where a task asks how it grows."""
