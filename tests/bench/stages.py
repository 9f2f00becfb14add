"""Where a service's processor time goes, by stages of a request.

Usage: python -P stages.py OUT serve …, in the environment of the service that is to be looked at. Serves as
`ringfence serve …` does. From the signal SIGUSR1 on, the process looks at its own stack whenever it has used another
tick of processor time (4 ms on most kernels, so that a second of work gives about 250 samples) and counts the stage it
finds itself in. When it is stopped by SIGTERM it writes the counts to OUT as JSON, `{stage: samples}`.

A sample costs some microseconds and looks at whole stacks only, so that it distorts nothing; a profiler that hears of
every call makes code of many small functions look slow. Time in C counts for the Python function that called it.
"""

from __future__ import annotations

import json
import signal
import sys
from collections import Counter
from pathlib import Path
from types import FrameType

STAGES: dict[str, tuple[str, ...]] = {
    "response": ("/env/http/responses.py", "/starlette/responses.py"),
    "authorise": ("/env/service/access.py",),
    "observation text": ("/env/document/listing.py",),
    "document edit": ("/env/document/",),
    "step insert": ("/env/store/",),
    "parse and validate": ("/pydantic/",),
    "rest of the tool call": ("/env/service/", "/env/client/ringfence/api/"),
    "routing and middleware": ("/env/http/", "/env/telemetry/", "/fastapi/", "/starlette/"),
}
"""Parts of paths: a sample belongs to the first stage that has a function on the stack."""
SERVER = "server and sockets"
"""Everything else: the event loop, and parsing HTTP."""


def stage(frame: FrameType | None) -> str:
    files = set()
    while frame is not None:
        files.add(frame.f_code.co_filename)
        frame = frame.f_back
    for name, places in STAGES.items():
        if any(place in file for place in places for file in files):
            return name
    return SERVER


def main(out: Path) -> None:
    counts: Counter[str] = Counter()
    signal.signal(signal.SIGPROF, lambda _, frame: counts.update((stage(frame),)))
    signal.signal(signal.SIGUSR1, lambda *_: signal.setitimer(signal.ITIMER_PROF, 0.001, 0.001))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # the server passes it on to us once it has stopped
    from env.cli import app

    try:
        app()
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        out.write_text(json.dumps(counts), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv.pop(1)))
