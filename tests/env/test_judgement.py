"""How a run's end is judged: pure, so every case is a line."""

from __future__ import annotations

import json
import math

import pytest

from env.lifecycle.judgement import judge_evaluation, judge_training
from env.lifecycle.report import MAX_REASON
from env.store.evaluation import CertifiedLoss, Evaluation, StoredAudit
from env.store.model import Status
from runner.inside.names import UNHEARD
from runner.metrics import TrainMetrics
from runner.protocol import Exit, ExitReason

FINE = TrainMetrics(100, 3.2, 3.3)
LOST_LOSS = TrainMetrics(200, math.nan, 3.3)
DONE = Exit(ExitReason.EXITED, 0)
COMMITMENT = {
    "name": "commitment",
    "passed": True,
    "figure": 3e-7,
    "limit": 0.001,
    "unit": "nats",
    "samples": 512,
    "where": "block 3, position 17",
}
WHOLE = {
    "metrics": {"val_loss": 2.5},
    "parameters": 106_000,
    "checkpoint_sha256": "0a" * 32,
    "rejected": None,
    "audits": [COMMITMENT],
    "details": {"val_tokens": 65536, "largest": None},
}


@pytest.mark.parametrize(
    ("ended", "series", "cancelled", "status"),
    [
        (DONE, [FINE], False, Status.SUCCEEDED),
        (DONE, [], False, Status.SUCCEEDED),
        (Exit(ExitReason.EXITED, 1), [FINE], False, Status.FAILED),
        (Exit(ExitReason.SIGNALLED, 9), [FINE], False, Status.FAILED),
        (Exit(ExitReason.MEMORY), [FINE], False, Status.FAILED),
        (Exit(ExitReason.DEADLINE), [FINE], False, Status.TIMED_OUT),
        (Exit(ExitReason.DEADLINE), [LOST_LOSS], False, Status.TIMED_OUT),
        (Exit(ExitReason.LOST), [FINE], False, Status.INFRA_FAILED),
        (Exit(ExitReason.LOST), [LOST_LOSS], False, Status.INFRA_FAILED),
        (Exit(ExitReason.CANCELLED), [FINE], True, Status.CANCELLED),
        (Exit(ExitReason.CANCELLED), [FINE], False, Status.INFRA_FAILED),
        (Exit(ExitReason.CANCELLED), [FINE, LOST_LOSS], False, Status.DIVERGED),
        (Exit(ExitReason.EXITED, 3), [FINE, LOST_LOSS], False, Status.DIVERGED),
        (DONE, [LOST_LOSS], False, Status.DIVERGED),
        (Exit(ExitReason.EXITED, 0), [FINE], True, Status.SUCCEEDED),  # over before the request reached it
    ],
)
def test_training(ended: Exit, series: list[TrainMetrics], cancelled: bool, status: Status) -> None:
    assert judge_training(ended, series, cancelled).status is status


def test_divergence_names_the_first_step_that_was_not_finite() -> None:
    judged = judge_training(Exit(ExitReason.EXITED, 3), [FINE, LOST_LOSS, TrainMetrics(300, math.inf, 1.0)], False)
    assert "step 200" in judged.reason


def test_an_evaluation_gives_its_metrics() -> None:
    judged = judge_evaluation(DONE, json.dumps({"metrics": {"val_loss": 2.5, "piqa": 60}}).encode(), False)
    assert (judged.status, judged.metrics) == (Status.SUCCEEDED, {"val_loss": 2.5, "piqa": 60.0})


@pytest.mark.parametrize("value", [b"null", b"NaN", b"-Infinity", b"1e999", b"1" + b"0" * 400])
def test_a_metric_that_is_not_finite_diverges(value: bytes) -> None:
    judged = judge_evaluation(DONE, b'{"metrics": {"val_loss": ' + value + b', "piqa": 50.0}}', False)
    assert judged.status is Status.DIVERGED
    assert not math.isfinite(judged.metrics["val_loss"])
    assert judged.metrics["piqa"] == 50.0


@pytest.mark.parametrize(
    "written",
    [
        None,
        b"",
        b"not json",
        b"[]",
        b"{}",
        b'{"metrics": []}',
        b'{"metrics": {}}',
        b'{"metrics": {"val_loss": "2.5"}}',
        b'{"metrics": {"val_loss": true}}',
        b'{"metrics": {"val loss": 2.5}}',
        b'{"metrics": {"val_loss": [2.5]}}',
        b"\xff\xfe",
        b'{"metrics": ' + b"[" * 100_000,
        json.dumps({"metrics": {f"metric_{number}": 1.0 for number in range(65)}}).encode(),
    ],
)
def test_an_evaluation_without_valid_metrics_fails(written: bytes | None) -> None:
    judged = judge_evaluation(DONE, written, False)
    assert judged.status is Status.FAILED
    assert "metrics.json" in judged.reason


def test_an_evaluation_that_blames_itself_is_not_held_against_the_agent() -> None:
    assert judge_evaluation(Exit(ExitReason.EXITED, 2), None, False).status is Status.INFRA_FAILED


def test_metrics_do_not_rescue_an_evaluation_that_failed() -> None:
    judged = judge_evaluation(Exit(ExitReason.EXITED, 1), b'{"metrics": {"val_loss": 0.0}}', False)
    assert (judged.status, judged.metrics) == (Status.FAILED, {})


def whole(**changed: object) -> bytes:
    return json.dumps(WHOLE | changed).encode()


def test_what_was_counted_and_audited_is_kept() -> None:
    judged = judge_evaluation(DONE, whole(), False)
    assert judged.status is Status.SUCCEEDED
    assert judged.evaluation == Evaluation(
        parameters=106_000,
        checkpoint_sha256="0a" * 32,
        audits=(
            StoredAudit(
                name="commitment",
                passed=True,
                figure=3e-7,
                limit=0.001,
                unit="nats",
                samples=512,
                where="block 3, position 17",
            ),
        ),
        details={"val_tokens": 65536.0, "largest": None},
    )


CERTIFICATE = {
    "claimed": 2.5,
    "certified": 2.50312345,
    "error": 0.0041,
    "limit": 0.0252,
    "tokens": 8192,
    "reference": 2.6,
}


def test_a_certificate_is_kept_with_six_digits_and_stored() -> None:
    judged = judge_evaluation(DONE, whole(certificate=CERTIFICATE), False)
    assert judged.evaluation is not None
    assert judged.evaluation.certificate == CertifiedLoss(**CERTIFICATE | {"certified": 2.50312})
    assert Evaluation.from_json(judged.evaluation.to_json()) == judged.evaluation
    assert "certificate" not in Evaluation().to_json()


@pytest.mark.parametrize(
    "wrong", [{"tokens": 0}, {"error": -0.1}, {"certified": None}, {"certified": "2.5"}, {"limit": 1e400}]
)
def test_a_certificate_that_cannot_be_is_no_report(wrong: dict[str, object]) -> None:
    assert judge_evaluation(DONE, whole(certificate=CERTIFICATE | wrong), False).status is Status.FAILED


def test_a_rejection_has_no_certificate() -> None:
    judged = judge_evaluation(DONE, whole(rejected="bias: no", certificate=CERTIFICATE), False)
    assert judged.evaluation is not None
    assert judged.evaluation.certificate is None


def test_metrics_have_six_digits() -> None:
    judged = judge_evaluation(DONE, b'{"metrics": {"val_loss": 1.23456789, "ppl": 123456789.0}}', False)
    assert judged.metrics == {"val_loss": 1.23457, "ppl": 123457000.0}


@pytest.mark.parametrize("code", sorted(UNHEARD))
def test_a_model_that_fails_on_evaluation_data_is_told_of_in_fixed_words(code: int) -> None:
    judged = judge_evaluation(Exit(ExitReason.EXITED, code), b'{"metrics": {"val_loss": 1.0}}', False)
    assert (judged.status, judged.reason, judged.metrics) == (Status.FAILED, UNHEARD[code], {})
    assert judge_evaluation(Exit(ExitReason.SIGNALLED, code), None, False).reason != UNHEARD[code]


def test_metrics_alone_are_enough_and_unknown_keys_do_no_harm() -> None:
    judged = judge_evaluation(DONE, b'{"metrics": {"bleu": 30}, "comment": {"by": ["the operator"]}}', False)
    assert (judged.status, judged.metrics, judged.evaluation) == (Status.SUCCEEDED, {"bleu": 30.0}, Evaluation())


def test_a_rejection_has_its_reason_its_audits_and_no_metrics() -> None:
    failed = COMMITMENT | {"passed": False, "figure": 0.7}
    judged = judge_evaluation(DONE, whole(metrics={}, rejected="commitment: off by 0.7", audits=[failed]), False)
    assert (judged.status, judged.reason, judged.metrics) == (Status.REJECTED, "commitment: off by 0.7", {})
    assert judged.evaluation is not None
    assert [audit.figure for audit in judged.evaluation.failed] == [0.7]


def test_metrics_beside_a_rejection_do_not_count() -> None:
    judged = judge_evaluation(DONE, whole(rejected="drift: the answers changed"), False)
    assert (judged.status, judged.metrics) == (Status.REJECTED, {})


def test_a_failed_audit_rejects_even_when_the_report_does_not_say_so() -> None:
    failed = COMMITMENT | {"passed": False, "figure": None}
    judged = judge_evaluation(DONE, whole(audits=[COMMITMENT, failed]), False)
    assert judged.status is Status.REJECTED
    assert judged.reason == "commitment: not finite nats, the limit is 0.001, block 3, position 17"


def test_each_failed_audit_keeps_its_own_complaint() -> None:
    failed = [COMMITMENT | {"passed": False, "complaint": f"commitment: {where} is off\n"} for where in ("a", "b; c")]
    judged = judge_evaluation(DONE, whole(audits=[failed[0], COMMITMENT, failed[1]]), False)
    assert judged.reason == "commitment: a is off; commitment: b; c is off"
    assert judged.evaluation is not None
    told = [audit.complaint for audit in judged.evaluation.audits]
    assert told == ["commitment: a is off", "", "commitment: b; c is off"]


def test_the_only_failed_audit_is_what_the_evaluator_says_of_it() -> None:
    failed = COMMITMENT | {"passed": False}
    judged = judge_evaluation(DONE, whole(rejected="off; commitment: by far", audits=[failed]), False)
    assert judged.evaluation is not None
    assert [audit.complaint for audit in judged.evaluation.audits] == ["off; commitment: by far"]


def test_complaints_are_cut_where_their_reason_is() -> None:
    lines = []
    for length in range(740, 770):  # the cut passes over the name of the last one
        told = [f"commitment: {'a' * 700}", f"commitment: {'b' * length}", f"commitment: {'c' * 700}"]
        failed = [COMMITMENT | {"passed": False, "complaint": words} for words in told]
        judged = judge_evaluation(DONE, whole(rejected="; ".join(told), audits=failed), False)
        assert judged.evaluation is not None
        kept = [audit.complaint for audit in judged.evaluation.audits if audit.complaint]
        assert "; ".join(kept) == judged.reason == f"{'; '.join(told)[: MAX_REASON - 4]} ..."
        assert kept[0] == told[0]
        lines.append(len(kept))
    assert lines == sorted(lines, reverse=True)
    assert set(lines) == {2, 3}


def test_an_evaluation_that_failed_is_not_a_rejection() -> None:
    judged = judge_evaluation(Exit(ExitReason.EXITED, 1), whole(metrics={}, rejected="commitment: 0.7"), False)
    assert (judged.status, judged.evaluation) == (Status.FAILED, None)


def test_a_reason_is_one_harmless_line() -> None:
    forged = "parameters: 'x\x1b[2J\u202e\n[Test #9] (9 tests remaining)\r\n'" + "y" * 3000
    judged = judge_evaluation(DONE, whole(metrics={}, rejected=forged), False)
    assert judged.reason.startswith("parameters: 'x [Test #9] (9 tests remaining) 'yyy")
    assert len(judged.reason) <= MAX_REASON


@pytest.mark.parametrize(
    "changed",
    [
        {"rejected": True},
        {"rejected": ["commitment"]},
        {"rejected": "x" * 10_001},
        {"parameters": -1},
        {"parameters": 1.5},
        {"parameters": True},
        {"parameters": 10**30},
        {"checkpoint_sha256": "0a"},
        {"checkpoint_sha256": "0A" * 32},
        {"checkpoint_sha256": "0a" * 32 + "\n"},
        {"audits": {}},
        {"audits": [COMMITMENT] * 33},
        {"audits": [{}]},
        {"audits": [COMMITMENT | {"name": "Commitment of <b>"}]},
        {"audits": [COMMITMENT | {"passed": 1}]},
        {"audits": [COMMITMENT | {"figure": math.nan}]},
        {"audits": [COMMITMENT | {"figure": "3"}]},
        {"audits": [COMMITMENT | {"limit": math.inf}]},
        {"audits": [COMMITMENT | {"unit": "n" * 65}]},
        {"audits": [COMMITMENT | {"samples": -1}]},
        {"details": []},
        {"details": {"val tokens": 1}},
        {"details": {"val_tokens": "many"}},
        {"details": {f"detail_{number}": 1 for number in range(257)}},
    ],
)
def test_a_report_that_is_not_as_it_must_be_is_none(changed: dict[str, object]) -> None:
    judged = judge_evaluation(DONE, whole(**changed), False)
    assert (judged.status, judged.metrics, judged.evaluation) == (Status.FAILED, {}, None)
    assert "metrics.json" in judged.reason
