"""Stage scripts and scales."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from templates.render import names, render, scale, script

SCALES = ["smoke", "gpt-124m", "gpt-345m"]
SIZES = ["smoke", "124m", "345m"]
SCRIPTS = [f"scripts/{stage}_{size}.sh" for stage in ("gpt", "lm_eval") for size in SIZES]


@pytest.mark.parametrize("name", SCALES)
@pytest.mark.parametrize("template", names())
def test_a_scale_sets_all_that_a_script_asks_for(name: str, template: str) -> None:
    settings = {key.upper() for key in tomllib.loads(scale(name) or "")["settings"]}
    asked = dict(re.findall(r'(?:setting|choice|folder)\("(\w+)"(.*)', render(template)))
    needed = {variable for variable, rest in asked.items() if "default=" not in rest}
    by_the_run = {"RANK", "WORLD_SIZE", "WORLD_SIZE_EXPECTED", "OUT_DIR", "DATA_DIR"}
    assert len(needed) > 20
    assert needed - settings - by_the_run == set()


@pytest.mark.parametrize("name", SCALES)
def test_a_scale_trains_then_evaluates_with_scripts_that_exist(name: str) -> None:
    table = tomllib.loads(scale(name) or "")
    stages = table["stages"]
    assert [stage["role"] for stage in stages] == ["train", "evaluate"]
    assert all(script(stage["script"]) for stage in stages)
    assert table["settings"]["grad_accum"] % table["world_size"] == 0
    assert table["summary"].strip()


def test_the_full_scale_is_the_agreed_one() -> None:
    settings = tomllib.loads(scale("gpt-345m") or "")["settings"]
    assert [settings[k] for k in ("n_layer", "n_head", "n_embd", "block_size", "vocab_size")] == [
        24,
        16,
        1024,
        1024,
        50304,
    ]
    assert [settings[k] for k in ("beta1", "beta2", "weight_decay", "grad_clip", "seed")] == [0.9, 0.95, 0.1, 1.0, 42]
    splits = [(settings["max_iters"], settings["batch_size"], settings["grad_accum"]), (13535, 32, 16)]
    tokens = [iterations * batch * accumulation * 1024 for iterations, batch, accumulation in splits]
    assert [round(count / 1e9, 1) for count in tokens] == [7.1, 7.1]


def test_the_proxy_differs_from_the_full_scale_in_size_and_schedule_only() -> None:
    proxy, full = (tomllib.loads(scale(name) or "") for name in ("gpt-124m", "gpt-345m"))
    differing = {key for key, value in proxy["settings"].items() if full["settings"][key] != value}
    assert proxy["settings"].keys() == full["settings"].keys()
    schedule = {"max_iters", "batch_size", "grad_accum", "eval_interval", "eval_iters"}
    assert differing - {"learning_rate"} == {"n_layer", "n_head", "n_embd"} | schedule
    assert proxy["settings"]["learning_rate"] == 6e-4
    assert [proxy[key] for key in ("data", "evaluation_data")] == [full[key] for key in ("data", "evaluation_data")]


@pytest.mark.parametrize("name", SCRIPTS)
def test_stage_scripts_are_sound_bash_that_stops_at_errors(name: str, tmp_path: Path) -> None:
    text = script(name)
    assert text is not None
    path = tmp_path / "stage.sh"
    path.write_text(text)
    assert subprocess.run(["bash", "-n", path], check=False).returncode == 0
    assert "\nset -euo pipefail\n" in text
    assert text.splitlines()[-1].startswith("exec ")


@pytest.mark.parametrize("name", [f"scripts/gpt_{size}.sh" for size in SIZES])
def test_two_launches_on_one_host_take_two_ports(name: str, tmp_path: Path) -> None:
    """The launcher is stood in for by one that says what it was asked, or this would cost seconds."""
    path = tmp_path / "stage.sh"
    path.write_text(script(name) or "")
    for command, text in (("torchrun", 'echo "$OMP_NUM_THREADS $*"'), ("python", f'exec {sys.executable} "$@"')):
        (tmp_path / command).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / command).chmod(0o755)
    env = {"PATH": f"{tmp_path}:/usr/bin:/bin", "WORLD_SIZE_EXPECTED": "2", "SCRIPT": "pkg/custom.py"}
    said = [subprocess.check_output(["bash", path], env=env, text=True) for _ in range(2)]
    form = r"1 --nproc-per-node 2 --master-addr 127\.0\.0\.1 --master-port (\d+) pkg/custom\.py\n"
    ports = [re.fullmatch(form, line) for line in said]
    assert ports[0]
    assert ports[1]
    assert ports[0][1] != ports[1][1]
    given = subprocess.check_output(["bash", path], env=env | {"MASTER_PORT": "29500"}, text=True)
    assert "--master-port 29500 " in given


@pytest.mark.parametrize("name", ["", ".", "gpt_smoke.sh", "scripts/../scripts/gpt_smoke.sh", "/etc/passwd"])
def test_other_script_names_are_not_built_in(name: str) -> None:
    assert script(name) is None


@pytest.mark.parametrize("name", ["", "..", "../scales/smoke", "smoke.toml", "GPT-345M"])
def test_other_scale_names_are_not_built_in(name: str) -> None:
    assert scale(name) is None
