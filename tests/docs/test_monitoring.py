"""The files for operators' monitoring: what they name is there, and systemd takes the unit."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.service import Server

FOLDER = Path(__file__).parents[2] / "docs" / "monitoring"
ALERT = re.compile(r"- alert: (\w+)\n +expr: (?:>-\n +)?(.+)\n")


def alerts() -> dict[str, str]:
    return dict(ALERT.findall((FOLDER / "alerts.yml").read_text()))


def panels() -> list[str]:
    board = json.loads((FOLDER / "dashboard.json").read_text())
    return [target["expr"] for panel in board["panels"] for target in panel["targets"]]


@pytest.fixture(scope="module")
def samples(shared: Server) -> dict[str, set[str]]:
    """Each sample's name in a scrape after a test, and the labels it has."""
    agent = shared.open()
    agent.post("/test?wait=60")
    with shared.client() as client:
        for address in ("/healthz", "/readyz"):
            client.get(address)
        text = client.get("/metrics").text
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def test_every_figure_and_label_that_is_asked_for_is_there(samples: dict[str, set[str]]) -> None:
    assert len(alerts()) == (FOLDER / "alerts.yml").read_text().count("- alert:") >= 6
    assert len(panels()) >= 7
    for asked in (*alerts().values(), *panels()):
        names = re.findall(r"\bringfence_\w+", asked)
        assert names or 'up{job="ringfence"}' in asked, asked
        for name in names:
            assert name in samples, asked
        labels = {label for selector in re.findall(r"\{(.*?)\}(?=\[|\)| |$)", asked) for label in _labels(selector)}
        labels |= {label for group in re.findall(r"by \((.*?)\)", asked) for label in group.split(", ")}
        assert labels - {"job"} <= set().union(*(samples[name] for name in names)), asked


def _labels(selector: str) -> list[str]:
    return re.findall(r'(\w+)(?:=~|!~|!=|=)"', selector)


def test_routes_and_statuses_that_are_asked_for_are_there(shared: Server) -> None:
    with shared.client() as client:
        paths = {*client.get("/openapi.json").json()["paths"]}
        client.get("/readyz")
        text = client.get("/metrics").text
    asked = " ".join((*alerts().values(), *panels()))
    routes = set(re.findall(r'route!?="(.*?)"', asked))
    assert routes == {"/readyz", "/healthz", "/v1/sessions/{session_id}/edit"} <= paths
    for status in ("queued", "running"):
        assert f'ringfence_tests{{status="{status}"}}' in text


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    unit = (FOLDER / "ringfence.service").read_text()
    for line in ("KillMode=process", "RestartPreventExitStatus=2", "StateDirectoryMode=0700"):
        assert f"\n{line}\n" in unit
    variables = {name for line in re.findall(r"^Environment=(.*)$", unit, re.M) for name in re.findall(r"(\w+)=", line)}
    told = subprocess.run(
        [sys.executable, "-m", "env.cli", "serve", "--help"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env={"COLUMNS": "300", "PATH": "/usr/bin:/bin"},
    ).stdout
    for name in variables - {"PYTHONUNBUFFERED"}:
        assert name in told
    verify = shutil.which("systemd-analyze")
    if verify is None:
        pytest.skip("systemd-analyze is not there")
    user = re.sub(r"^(User|Group|SupplementaryGroups)=.*\n", "", unit, flags=re.M)  # theirs need not be on this host
    here = user.replace("/opt/ringfence/.venv/bin/ringfence", sys.executable)
    assert here != user
    (tmp_path / "ringfence.service").write_text(here)
    done = subprocess.run(
        [verify, "verify", str(tmp_path / "ringfence.service")], capture_output=True, text=True, timeout=60, check=False
    )
    assert "ringfence.service" not in done.stderr, done.stderr
