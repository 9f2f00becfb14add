"""Score a checkpoint without trusting the code that made it.

`python -P -m runner.inside.evaluate language-modelling|lm-eval`, with the settings of `settings.py` in the environment,
in a sandbox that holds nothing of the agent's but the checkpoint. Its model workers run in sandboxes of their own
(`worker.py`) and are asked for log-probabilities. Writes OUT_DIR/metrics.json. Exit status: 0 with a report, also when
an audit failed and the report says so; 1 when the agent's model cannot be scored, with one line on standard error that
says why; one of UNHEARD (`names.py`) when that came out after the model was shown evaluation data, so that the agent
must hear no more of it than the status says; 2 when settings, data or this program are at fault.
"""

from __future__ import annotations

import argparse
import os
import sys

from runner.inside.faults import exit_status
from runner.inside.judge.evaluation import evaluate
from runner.inside.judge.report import write_report
from runner.inside.names import EVALUATE, LANGUAGE_MODELLING, LM_EVAL
from runner.inside.settings import read_settings


def main(arguments: list[str] | None = None) -> int:
    """The command. Returns its exit status."""
    parser = argparse.ArgumentParser(prog=" ".join(EVALUATE))
    parser.add_argument("what", choices=[LANGUAGE_MODELLING, LM_EVAL])
    what = parser.parse_args(arguments).what
    return exit_status(lambda: _score(what))


def _score(what: str) -> None:
    settings = read_settings(os.environ)
    report = evaluate(what, settings)
    write_report(report, settings.out_dir)
    for name, value in report.metrics.items():
        print(f"{name} = {value:.6g}")
    # For the operator: the report that agents read says less.
    for name, loss in report.losses.items():
        print(f"{name}: {loss:.6g} nats a token")
    for audit in report.audits:
        about = ", ".join(filter(None, (audit.metric, audit.place)))
        print(
            f"{audit.name}: {audit.figure:g} {audit.unit}, at most {audit.limit:g} ({audit.samples} samples; {about})"
        )
    print(f"certificate: {report.certificate}")
    if report.cost_growth is not None:
        print(f"cost growth: {report.cost_growth}")
    if report.rejected:
        print(f"rejected: {report.rejected}")


if __name__ == "__main__":
    sys.exit(main())
