"""The caps in every task.toml: 1.05 times the largest baseline, room for what agents have been recorded to build."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from env.document.baselines import baseline_document
from runner.inside.faults import AgentFault, SetupFault
from runner.inside.model_worker.model import build_model, stored_tensors
from runner.inside.model_worker.parameter_count import count_script
from runner.inside.names import SIZE
from runner.inside.settings import read_model_settings
from tasks.model import Scale, Task
from tests.support.service import TASK


def count(text: str, scale: Scale, folder: Path) -> int:
    (folder / "custom.py").write_text(text, encoding="utf-8")
    return count_script({**scale.settings, "SCRIPT": "custom.py"}, folder)


def numbers(text: str, scale: Scale, folder: Path) -> int:
    """The numbers of the model alone, without what names and shapes are charged."""
    (folder / "custom.py").write_text(text, encoding="utf-8")
    with torch.device("meta"):
        model = build_model(folder / "custom.py", read_model_settings(scale.settings))
        return sum(tensor.numel() for tensor in {id(tensor): tensor for _, tensor in stored_tensors(model)}.values())


@pytest.mark.parametrize("name", ["smoke", "gpt-124m", "gpt-345m"])
def test_each_cap_is_that_of_the_largest_baseline(name: str, tasks: dict[str, Task], tmp_path: Path) -> None:
    for task in tasks.values():
        scale = task.scales[name]
        texts = [task.text, *(baseline_document(task, baseline).text for baseline in task.baselines)]
        largest = max(texts, key=lambda text: numbers(text, scale, tmp_path))
        assert scale.max_parameters == numbers(largest, scale, tmp_path) * 105 // 100, task.id
        assert max(count(text, scale, tmp_path) for text in texts) <= scale.max_parameters, task.id


LEXICONS = """\
class TokenEmbedding(nn.Module):
    \"\"\"Two token tables mixed token by token, hashed pairs and triples, and a head that starts as the mixture.\"\"\"
    def __init__(self, config):
        super().__init__()
        V, C = config.vocab_size, config.n_embd
        self.wte, self.other = nn.Embedding(V, C), nn.Embedding(V, C)
        self.pairs, self.triples = nn.Embedding(2 * V, C), nn.Embedding(2 * V, C)
        self.gate, self.trust, self.share = nn.Embedding(V, 1), nn.Embedding(V, 1), nn.Embedding(V, 1)
        self.wpe = nn.Embedding(config.block_size, C)
        self.loud = nn.Parameter(torch.tensor([0.1, 0.05, 0.035, 0.02]))

    def get_lm_head_weight(self):
        return nn.Parameter(self.wte.weight.lerp(self.other.weight, self.gate.weight.sigmoid()))

"""


@pytest.mark.parametrize("name", ["smoke", "gpt-345m"])
def test_a_second_lexicon_and_two_hash_tables_fit(name: str, tasks: dict[str, Task], tmp_path: Path) -> None:
    """Of the size of the largest edit on record for the embedding task, which ran."""
    task = tasks["llm-pretrain-embedding"]
    lines = task.text.split("\n")
    text = "\n".join([*lines[:114], LEXICONS, *lines[140:]])
    cap = task.scales[name].max_parameters
    assert cap is not None
    assert cap * 0.94 < count(text, task.scales[name], tmp_path) <= cap


def test_the_command_prints_the_number(tasks: dict[str, Task], tmp_path: Path) -> None:
    task = tasks[TASK]
    (tmp_path / "custom.py").write_text(task.text)
    env = {**task.scales["gpt-345m"].settings, "SCRIPT": "custom.py"}
    command = [sys.executable, *SIZE[1:]]
    printed = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=True).stdout
    assert 354599936 < int(printed) < 354599936 + 147 * 64  # its tensors have names and shapes


@pytest.mark.parametrize(
    ("text", "count_of_it"),
    [
        ("self.a = nn.Parameter(torch.zeros(3, 5))", 15),
        ("self.a = nn.Parameter(torch.zeros(5)); self.b = self.a", 5),
        ("self.register_buffer('a', torch.zeros(7))", 7),
        ("self.register_buffer('a', torch.zeros(7), persistent=False)", 0),
        ("self.register_buffer('a', torch.zeros(7, dtype=torch.int64))", 56),
        ("self.register_buffer('a', torch.zeros(7, dtype=torch.float64))", 14),
        ("self.register_buffer('a', torch.zeros(7, dtype=torch.bfloat16))", 7),
        ("both = torch.zeros(8); self.a, self.b = nn.Parameter(both[:3]), nn.Parameter(both[3:])", 8),
        ("whole = torch.zeros(8); self.a, self.b = nn.Parameter(whole), nn.Parameter(whole[2:4])", 8),
    ],
)
def test_shared_memory_counts_once(text: str, count_of_it: int, tasks: dict[str, Task], tmp_path: Path) -> None:
    script = (
        "import torch\nfrom torch import nn\nfrom types import SimpleNamespace as GPTConfig\n"
        f"class GPT(nn.Module):\n    def __init__(self, config):\n        super().__init__()\n        {text}\n"
    )
    names = 0 if count_of_it == 0 else 18 if "self.a, self.b" in text else 17 if "3, 5" in text else 9
    assert count(script, tasks["llm-pretrain-loss"].scales["smoke"], tmp_path) == count_of_it + names


@pytest.mark.parametrize(
    ("text", "count_of_it"),
    [
        ("self.a = nn.utils.parametrizations.orthogonal(nn.Linear(3, 3, bias=False))", 9 + 9),
        ("self.a = nn.Parameter(torch.ones(int(torch.tensor(4).item())))", 4),
        ("self.a = nn.Parameter(torch.ones(5) * torch.from_numpy(__import__('numpy').ones(5)))", 2 * 5),
    ],
)
def test_a_model_that_needs_numbers_to_begin_with_is_counted(
    text: str, count_of_it: int, tasks: dict[str, Task], tmp_path: Path
) -> None:
    script = (
        "import torch\nfrom torch import nn\nfrom types import SimpleNamespace as GPTConfig\n"
        f"class GPT(nn.Module):\n    def __init__(self, config):\n        super().__init__()\n        {text}\n"
        "        assert all(p.isfinite().all() for p in self.parameters())\n"
    )
    names = (
        ["a"] if "Linear" not in text else ["a.parametrizations.weight.original", "a.parametrizations.weight.0.base"]
    )
    charged = sum(len(name) + 8 * len(names) for name in names)
    assert count(script, tasks["llm-pretrain-loss"].scales["smoke"], tmp_path) == count_of_it + charged


def test_a_script_without_a_model_and_settings_that_are_missing(tasks: dict[str, Task], tmp_path: Path) -> None:
    settings: dict[str, Any] = dict(tasks["llm-pretrain-loss"].scales["smoke"].settings)
    (tmp_path / "custom.py").write_text("x = 1\n")
    with pytest.raises(AgentFault, match="defines no GPT"):
        count_script({**settings, "SCRIPT": "custom.py"}, tmp_path)
    with pytest.raises(SetupFault, match="SCRIPT: not set"):
        count_script(settings, tmp_path)
    del settings["N_LAYER"]
    with pytest.raises(SetupFault, match="N_LAYER: not set"):
        count_script({**settings, "SCRIPT": "custom.py"}, tmp_path)
