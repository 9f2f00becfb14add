"""The score of a sample: what the service says of the test that was submitted. Nothing is taken from the model."""

from __future__ import annotations

import math

from inspect_ai.scorer import Score, Scorer, Target, mean, scorer
from inspect_ai.solver import TaskState

from ringfence.client import Client, ResultView
from ringfence.client.figures import UnscoredError, differences, reward
from ringfence.inspect.sessions import Sessions, aside


@scorer(metrics=[{"*": [mean()]}])
def submitted_result(client: Client, sessions: Sessions) -> Scorer:
    """`score` is the leaderboard's, 0 where nothing was submitted or what was failed, and not a number where the task's
    baselines have not been measured; `submitted` is 1 or 0."""

    async def score(state: TaskState, target: Target) -> Score:  # noqa: ARG001
        session = sessions.of(state)
        submission = (await aside(session.state)).submission
        if submission is None:
            return Score(value={"submitted": 0.0, "score": 0.0}, explanation="No test was submitted.")
        return _score(await aside(lambda: client.result(session.id, submission.n)))

    return score


def _score(result: ResultView) -> Score:
    try:
        score, explanation = reward(result), result.mark or None
    except UnscoredError as unscored:
        score, explanation = math.nan, f"{unscored}."
    return Score(
        value={"submitted": 1.0, "score": score},
        answer=f"test #{result.test}",
        explanation=explanation,
        metadata={
            "result": result.run_key,
            "status": result.status,
            "metrics": result.metrics,
            "difference": differences(result),
            "audits": [audit.model_dump() for audit in result.record.audits],
            "board": result.board,
            "task_version": result.task_version,
            "scale": result.scale,
            "runner_class": result.runner_class,
            "mark": result.mark,
            "training_data": result.training_data,
            "heldout_data": result.heldout_data,
        },
    )
