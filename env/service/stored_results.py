"""A row of a leaderboard, whole, as the API answers it."""

from __future__ import annotations

from env.service.answers import all_finite
from env.service.comparisons import comparison_view
from leaderboard.model import RecordedResult
from leaderboard.naming import MORE_COMPUTE
from leaderboard.table import iso
from ringfence.api.results import Labels, StoredResult


def result_view(entry: RecordedResult, *, with_code: bool) -> StoredResult:
    result = entry.result
    return StoredResult(
        run_key=result.run_key,
        timestamp=iso(result.finished_at),
        task_id=result.task_id,
        task_version=result.task_version,
        agent=result.agent,
        session_id=result.session_id,
        test=result.test,
        is_final=entry.is_final,
        status=result.status,
        scale=result.scale,
        seed=result.seed,
        score=entry.score,
        delta_noise=entry.delta_noise,
        parameters=result.parameters,
        compute=result.compute,
        certified=result.certified,
        certified_error=result.certified_error,
        confirms=result.confirms,
        comparison=comparison_view(entry.comparison),
        board=result.board.id,
        runner_class=result.origin.runner_class.value,
        mark=result.origin.runner_class.mark,
        runner=result.origin.runner,
        image=result.origin.image,
        training_data=result.origin.training_data,
        heldout_data=result.origin.heldout_data,
        reserve_data=result.origin.reserve_data,
        labels=Labels(
            template_unmodified=result.template_unmodified,
            duplicate_of=entry.duplicate_of,
            auto_submitted=entry.auto_submitted,
            more_compute=result.compute is not None and result.compute > MORE_COMPUTE,
            unmet=result.unmet,
        ),
        metrics=all_finite(result.metrics),
        elapsed=all_finite(result.elapsed),
        record=dict(result.record),
        code_sha256=result.code_sha256,
        code=dict(result.code) if with_code else None,
    )
