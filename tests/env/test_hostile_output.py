"""A run whose output databases and parsers may not like: its row is there all the same."""

from __future__ import annotations

from pathlib import Path

from tests.support.service import Serve

TASK = """\
id = "noisy"
title = "Prints what no database takes"
template = "custom.py"
filename = "pkg/custom.py"
editable = [[1, 1]]
[scales.smoke]
world_size = 1
[[scales.smoke.stages]]
label = "noisy"
script = "noisy.sh"
role = "train"
timeout_s = 60
"""
SCRIPT = """\
printf 'before\\000after\\n'
echo "TRAIN_METRICS: step=99999999999999999999999, train_loss=2.0000, val_loss=2.0000"
echo "TRAIN_METRICS: step=1, train_loss=2.0000, val_loss=99999999999999999999999"
printf 'TRAIN_METRICS: step=2, train_loss=2.0000, val_loss=2.0000\\000\\n'
echo "TRAIN_METRICS: step=999999999999, train_loss=2.0000, val_loss=2.5000"
echo "TRAIN_METRICS: step=3, train_loss=1e300, val_loss=2.7500"
printf '\\000\\377 123456789012345678901234567890\\n' >&2
exit 1
"""


def test_nul_and_integers_above_64_bit_harm_no_row(serve: Serve, tmp_path: Path) -> None:
    task = tmp_path / "noisy"
    task.mkdir()
    for name, content in (("task.toml", TASK), ("custom.py", "A = 1\n"), ("noisy.sh", SCRIPT)):
        (task / name).write_text(content)
    server = serve("--runner", "local", "--slots", "1", "--tasks", str(task), "--data", str(tmp_path / "data"))
    agent = server.open("noisy")
    assert agent.call("test").status_code == 202
    with server.client(agent.token) as client:
        test = client.get(f"/v1/sessions/{agent.id}/tests/1?wait=60").json()
        assert test["status"] == "failed", test
        steps = [point["step"] for point in test["progress"]["series"]]
        assert 999999999999 in steps
        assert max(steps) < 1 << 63
        rows = client.get("/v1/leaderboards/noisy?final=false").json()["rows"]
        assert [row["status"] for row in rows] == ["failed"]
        assert client.get(f"/v1/results/{rows[0]['run_key']}/curve").json()["points"] == len(steps)
        for path in (f"/v1/sessions/{agent.id}/trajectory", f"/sessions/{agent.id}", "/v1/leaderboards/noisy.csv"):
            answer = client.get(path)
            assert answer.status_code == 200
            assert "\0" not in answer.text
