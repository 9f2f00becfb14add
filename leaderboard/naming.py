"""The rules behind names on a leaderboard: columns, the metric that ranks, which way is better, reserved agents.

Everything that makes or reads such a name asks here.
"""

from __future__ import annotations

from collections.abc import Iterable

BASELINE_PREFIX = "baseline:"
"""Agents whose names begin like this are the operator's baselines, and no agents."""

AFTER_BASELINES = BASELINE_PREFIX[:-1] + chr(ord(BASELINE_PREFIX[-1]) + 1)
"""The first text after all that begin with the prefix: what lies between the two is found by index."""

COUNTS = "succeeded"
"""The only status whose results have a score and a rank, and can be anybody's best. Others are listed after them."""

MORE_COMPUTE = 1.25
"""Results with a higher `compute` are labelled, and ranked apart from the others."""

NOT_SUBQUADRATIC, COST_NOT_MEASURED = "not sub-quadratic", "cost growth not measured"
"""What a result may lack that its task asks for, in its column `unmet`. Such a result is labelled with it, has no
score, is never anybody's best, and ranks apart from those that answer their task's question."""

_ELAPSED = "elapsed_"
_PERPLEXITY = "ppl"
_LOWER_IS_BETTER = ("loss", _PERPLEXITY)
_RANKING = "val_loss"


def baseline_agent(name: str) -> str:
    """The name of the agent that a baseline plays as: `baseline:rope`."""
    return f"{BASELINE_PREFIX}{name}"


def is_baseline(agent: str) -> bool:
    """Whether an agent's name is that of one of the operator's baselines."""
    return agent.lower().startswith(BASELINE_PREFIX)


def baseline_name(agent: str) -> str:
    """The inverse of `baseline_agent`; any other agent's name is returned as it is."""
    return agent.removeprefix(BASELINE_PREFIX)


def metric_column(metric: str, stage: str) -> str:
    """The column of a metric that a stage measured: `val_loss_gpt-345m`. Stage labels hold no underscore."""
    return f"{metric}_{stage}"


def split_column(column: str) -> tuple[str, str]:
    """Metric and stage of a column, the inverse of `metric_column`; the stage is empty if the name holds none."""
    metric, found, stage = column.rpartition("_")
    return (metric, stage) if found else (column, "")


def elapsed_column(stage: str) -> str:
    """The column of the wall-clock seconds that a stage took: `elapsed_gpt-345m`."""
    return f"{_ELAPSED}{stage}"


def is_elapsed_column(column: str) -> bool:
    """Whether a column holds wall-clock seconds, judged by its name."""
    return column.startswith(_ELAPSED)


def lower_is_better(metric: str) -> bool:
    """By the bare metric's name, without its stage: losses and perplexities fall, accuracies rise."""
    return metric.endswith(_LOWER_IS_BETTER)


def is_perplexity(metric: str) -> bool:
    """By the bare metric's name. Perplexities compare by their ratios."""
    return metric.endswith(_PERPLEXITY)


def is_ranking(metric: str) -> bool:
    """Whether results are ranked by it, by the bare metric's name."""
    return metric == _RANKING


def ranking_column(columns: Iterable[str]) -> str | None:
    """The column that results are ranked by, lower being better: the first validation loss, if there is one."""
    return next((name for name in columns if name.startswith(f"{_RANKING}_")), None)
