"""The range: a real service with the docker runner, and agents who want a better number than their model deserves."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from runner.container.sandbox import Sandbox
from tasks.load import load_tasks
from tests.support.containers import containers_with, sandbox_toml
from tests.support.service import Agent, Server, services
from tests.support.tasks import TRAIN

HERE = Path(__file__).parent
METRIC = "val_loss_gpt-smoke"
RANGES = {
    "normalization": ("norm", "block", "overrides"),
    "embedding": ("embedding", "overrides"),
    "residual": ("block", "init", "loop", "optimizer", "overrides"),
    "loss": ("loss", "overrides"),
    "linear-attention": ("attention", "block", "overrides"),
    "attention": ("attention", "overrides"),
    "mlp": ("mlp", "overrides"),
    "optimizer": ("optimizer", "overrides"),
    "lr-schedule": ("schedule", "overrides"),
}
"""What the editable ranges of a built-in task are called here, from top to bottom."""
TEMPLATES = ("embedding", "residual", "loss", "linear-attention")
"""Tasks with a script of their own; the others edit the base script."""
Texts = Mapping[str, str]
"""New texts of a task's ranges by name. `<own>` in one stands for what was there."""


@dataclass(frozen=True)
class Attack:
    """One edit, and how a test of it has to end."""

    name: str
    task: str
    texts: Texts
    ends: tuple[str, ...]
    """Allowed final states; `refused` when no test is spent; `succeeded` only with the number of `honest`."""
    says: str = ""
    """A pattern that the observation has to match."""
    honest: Texts = field(default_factory=dict)
    """The same training without the lie. None of its texts: the template as it is."""
    exact: bool = True
    """Whether the number is that of `honest`, or only no better."""
    rare: bool = False
    """A variant of another one, or of what tests/inside and tests/env play: left out unless all are asked for."""
    lies: tuple[str, ...] = ()
    """What may stand neither in the metrics nor in the row."""

    def __str__(self) -> str:
        return self.name


def load_family(path: Path) -> list[Attack]:
    """The attacks of a TOML file: `[parts]` are texts that several share, written `<name>` where they are meant."""
    family = tomllib.loads(path.read_text(encoding="utf-8"))
    parts = family.get("parts", {})

    def filled(texts: Texts) -> Texts:
        return {name: _fill(text, parts) for name, text in texts.items()}

    return [
        Attack(
            name=f"{path.stem}/{one['name']}",
            task=one["task"],
            texts=filled(one["texts"]),
            ends=tuple(one.get("ends", "succeeded").split(" or ")),
            says=one.get("says", ""),
            honest=filled(one.get("honest", {})),
            exact=one.get("exact", True),
            rare=one.get("rare", False),
            lies=tuple(one.get("lies", ())),
        )
        for one in family["attacks"]
    ]


def _fill(text: str, parts: Texts) -> str:
    for name, part in parts.items():
        text = text.replace(f"<{name}>\n", part)
    return text


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    for name, pattern in (("attack", "families/*.toml"), ("honest", "honest/*.toml")):
        if name in metafunc.fixturenames:
            edits = [edit for path in sorted(HERE.glob(pattern)) for edit in load_family(path)]
            marked = [pytest.param(edit, marks=pytest.mark.exhaustive) if edit.rare else edit for edit in edits]
            metafunc.parametrize(name, marked, ids=[str(edit) for edit in edits])


class Played:
    """One session: its edits, and one test unless that was refused."""

    def __init__(self, server: Server, task: str, texts: Texts, who: str) -> None:
        self.agent: Agent = server.open(task, agent=who)
        self._server, self._task = server, task
        file = self.agent.opened["files"][0]
        lines = file["text"].splitlines(keepends=True)
        names = RANGES[task.removeprefix("range-").partition("--")[0]]
        assert texts.keys() <= set(names), texts.keys()
        self.refusal: str | None = None
        # From the bottom up: the lines above an edit keep their numbers.
        for name, (first, last) in reversed(list(zip(names, file["editable"], strict=True))):
            if name in texts:
                content = texts[name].replace("<own>\n", "".join(lines[first - 1 : last]))
                self._call("edit", {"op": "replace", "start_line": first, "end_line": last, "content": content})
        self._call("test", {})

    def _call(self, tool: str, arguments: dict[str, Any]) -> None:
        if self.refusal is None:
            answer = self.agent.call(tool, arguments)
            assert answer.status_code < 500, answer.text
            if not answer.json()["ok"]:
                self.refusal = answer.json()["observation"]

    def result(self) -> dict[str, Any]:
        """The test's final view."""
        assert self.refusal is None, self.refusal
        return self.agent.result(1, 600)

    def value(self) -> float:
        """The trusted loss of a test that succeeded."""
        seen = self.result()
        assert seen["status"] == "succeeded", seen["observation"]
        value: float = seen["metrics"][METRIC]
        return value

    def audits(self) -> list[dict[str, Any]]:
        """What the row's record tells of them."""
        return list(self._record()["audits"])

    def runs(self) -> list[dict[str, Any]]:
        """What the row's record tells of the runs it took, with their times."""
        return list(self._record()["runs"])

    def _record(self) -> dict[str, Any]:
        with self._server.client() as client:
            result = client.get(f"/v1/results/{self.row()['run_key']}").json()
        return dict(result["record"])

    def row(self) -> dict[str, Any]:
        query = {"final": "false", "limit": "1000"}
        with self._server.client() as client:
            rows = client.get(f"/v1/leaderboards/{self._task}", params=query).json()["rows"]
        (row,) = (row for row in rows if row["session_id"] == self.agent.id)
        return dict(row)


class Range:
    """The service under attack. Tests are started long before they are waited for: a few run at a time."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._played: dict[str, Played] = {}

    def attack(self, attack: Attack) -> Played:
        return self._once(attack.name, attack.task, attack.texts, attack.name)

    def honest(self, task: str, texts: Texts) -> Played:
        """The honest oracle, in the same service."""
        return self._once(f"honest {task} {sorted(texts.items())}", task, texts, "honest")

    def once_more(self, task: str) -> Played:
        return Played(self.server, f"range-{task}", {}, "latecomer")

    def _once(self, key: str, task: str, texts: Texts, who: str) -> Played:
        if key not in self._played:
            self._played[key] = Played(self.server, f"range-{task}", texts, who)
        return self._played[key]


@pytest.fixture(scope="module")
def range_(
    attacks: list[Attack], open_range: Callable[[Path, set[str]], Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Range]:
    """All attacks that were selected are under way, the honest ones before them."""
    names = {attack.task for attack in attacks} | {"normalization"}
    with open_range(tmp_path_factory.mktemp("range"), names) as arena:
        arena.honest("normalization", {})
        for attack in attacks:
            if "succeeded" in attack.ends:
                arena.honest(attack.task, attack.honest)
        for attack in attacks:
            arena.attack(attack)
        yield arena


@pytest.fixture(scope="session")
def attacks(request: pytest.FixtureRequest) -> list[Attack]:
    """Those that were selected."""
    return _selected(request, "attack")


@pytest.fixture(scope="session")
def honest_edits(request: pytest.FixtureRequest) -> list[Attack]:
    """Those that were selected, each once."""
    return list({edit.name: edit for edit in _selected(request, "honest")}.values())


def _selected(request: pytest.FixtureRequest, name: str) -> list[Attack]:
    items = (item for item in request.session.items if isinstance(item, pytest.Function))
    given = (item.callspec.params.get(name) for item in items if hasattr(item, "callspec"))
    return [edit for edit in given if isinstance(edit, Attack)]  # other tests may have arguments of that name


@pytest.fixture(scope="session")
def open_range(
    host_image: str, host_sandbox: Sandbox, smoke_data: Path
) -> Callable[..., AbstractContextManager[Range]]:
    """Starts a service with the docker runner and these tasks. RINGFENCE_IMAGE has it use a built image."""

    @contextmanager
    def started(folder: Path, names: set[str], *, apart: bool = False) -> Iterator[Range]:
        image = os.environ.get("RINGFENCE_IMAGE")
        folder.mkdir(exist_ok=True)
        sandbox = folder / "sandbox.toml"
        sandbox.write_text("cpus = 1\n" if image else sandbox_toml(host_sandbox))
        options = ["--image", image or host_image, "--sandbox", str(sandbox), "--slots", "3"]  # some of them only wait
        options += ["--data", str(smoke_data)]
        if not apart:  # what must not pass must not pass beside others either, which is sooner over
            options.append("--neighbours")
        for name in sorted(names):
            options += ["--tasks", str(write_task(folder / name, name))]
        with services(lambda: folder / "state") as start:  # and ends tests that nobody waited for
            # The evaluator has to stand without what is looked at before a test.
            yield Range(start("--runner", "docker", "--no-foresight", *options))

    return started


def write_task(folder: Path, name: str) -> Path:
    """A task with a built-in one's ranges, whose smoke test takes a few seconds: `residual`, or `residual--hasty`.

    Variants: `hasty` gives up on what takes longer, `brief` at once, `roomy` has room for larger models, `few` is
    audited in few places, `full` is the smoke test as it is built in, `seed-N` starts elsewhere.
    """
    base, *variants = name.split("--")
    task = load_tasks(())[f"llm-pretrain-{base}"]
    folder.mkdir(parents=True)
    (folder / "description.md").write_text("A built-in task, smaller.\n")
    (folder / "train.sh").write_text(TRAIN)
    (folder / "task.toml").write_text(f"""\
id = "range-{name}"
title = "A range for attacks"
template = "{base if base in TEMPLATES else "custom_pretrain"}"
filename = "{task.filename}"
editable = {[list(pair) for pair in task.editable]}
override_keys = {list(task.override_keys)}
[scales.smoke]
{"max_parameters = 200_000" if "roomy" in variants else ""}
{"" if "full" in variants else _SMALL.format(timeout_s=_timeout_s(variants))}
[scales.smoke.settings]
{"".join(f"seed = {one.removeprefix('seed-')}" for one in variants if one.startswith("seed-"))}
{"" if "full" in variants else _FEWER.format(samples=12 if "few" in variants else 256)}
""")
    return folder


def _timeout_s(variants: list[str]) -> int:
    return 8 if "brief" in variants else 25 if "hasty" in variants else 300


_SMALL = """\
world_size = 1
[[scales.smoke.stages]]
label = "gpt-smoke"
script = "train.sh"
role = "train"
timeout_s = {timeout_s}
"""
"""One process and no downstream tasks."""
_FEWER = """\
max_iters = 30
certificate_tokens = 2048
grad_accum = 1
eval_iters = 2
eval_tokens = 8192
audit_samples = {samples}
"""


@pytest.fixture(scope="session")
def containers_of(engine_url: str | None) -> Callable[[str], list[str]]:
    """The containers that mount something under a folder."""
    return lambda folder: containers_with(engine_url, folder)


@pytest.fixture(scope="session")
def write_range_task() -> Callable[[Path, str], Path]:
    return write_task
