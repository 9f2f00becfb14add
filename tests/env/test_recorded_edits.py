"""The five tasks' files behave under edits as recorded agents saw it: line arithmetic, first lines and headers.

The contents are stand-ins of the recorded lengths; only line numbers and counts matter here.
"""

from __future__ import annotations

import pytest

from tests.support.service import TASK, Server

# task → edits: first line, last line, lines put in their place; ranges and total afterwards.
Edit = tuple[int, int, int, str, int]
RECORDED: dict[str, list[Edit]] = {
    TASK: [
        (22, 31, 17, "22–38, 95–107, 252–254", 444),
        (95, 107, 16, "22–38, 95–110, 255–257", 447),
        (255, 257, 3, "22–38, 95–110, 255–257", 447),
        (22, 38, 15, "22–36, 93–108, 253–255", 445),
        (93, 108, 14, "22–36, 93–106, 251–253", 443),
        (22, 36, 16, "22–37, 94–107, 252–254", 444),
        (94, 107, 15, "22–37, 94–108, 253–255", 445),
    ],
    "llm-pretrain-embedding": [
        (115, 140, 86, "115–200, 325–327", 533),
        (115, 200, 76, "115–190, 315–317", 523),
        (115, 190, 91, "115–205, 330–332", 538),
    ],
    "llm-pretrain-residual": [
        (88, 99, 13, "88–100, 129–131, 163–165, 176–193, 252–252", 442),
        (129, 131, 7, "88–100, 129–135, 167–169, 180–197, 256–256", 446),
        (167, 169, 7, "88–100, 129–135, 167–173, 184–201, 260–260", 450),
        (184, 201, 23, "88–100, 129–135, 167–173, 184–206, 265–265", 455),
        (265, 265, 1, "88–100, 129–135, 167–173, 184–206, 265–265", 455),
        (129, 135, 8, "88–100, 129–136, 168–174, 185–207, 266–266", 456),
        (168, 174, 12, "88–100, 129–136, 168–179, 190–212, 271–271", 461),
        (190, 212, 23, "88–100, 129–136, 168–179, 190–212, 271–271", 461),
    ],
    "llm-pretrain-loss": [
        (188, 191, 26, "188–213, 269–271", 461),
        (188, 213, 26, "188–213, 269–271", 461),
    ],
    "llm-pretrain-linear-attention": [
        (33, 70, 51, "33–83, 101–113, 259–261", 451),
        (101, 113, 14, "33–83, 101–114, 260–262", 452),
        (260, 262, 3, "33–83, 101–114, 260–262", 452),
        (33, 83, 53, "33–85, 103–116, 262–264", 454),
    ],
}


def content(lines: int, *, trailing_blank: bool) -> str:
    """`lines` lines; recorded agents end some contents with a blank line and its newline."""
    text = "\n".join(f"# line {number}" for number in range(lines - trailing_blank))
    return text + "\n\n" if trailing_blank else text


@pytest.mark.parametrize("task", RECORDED)
def test_edits_answer_with_the_recorded_first_line_and_header(task: str, shared: Server) -> None:
    agent = shared.open(task)
    for first, last, lines, ranges, total in RECORDED[task]:
        arguments = {
            "op": "replace",
            "filename": "nanoGPT/custom_pretrain.py",
            "start_line": first,
            "end_line": last,
            "content": content(lines, trailing_blank=task == "llm-pretrain-loss"),
        }
        answer = agent.call("edit", arguments).json()
        told, blank, header = answer["observation"].split("\n")[:3]
        assert told == (
            f"OK: Replaced lines {first}..{last} with {lines} line(s) in nanoGPT/custom_pretrain.py. "
            f"Editable range: {ranges}."
        )
        assert blank == ""
        assert header == f"[Current file: nanoGPT/custom_pretrain.py | editable: {ranges} | total: {total} lines]"
        assert answer["total_lines"] == total
        assert answer["editable"] == [[int(end) for end in pair.split("–")] for pair in ranges.split(", ")]


def test_the_answer_shows_the_ends_of_each_range_as_recorded(shared: Server) -> None:
    agent = shared.open(TASK)
    body = ["class LayerNorm(nn.Module):", *(f"    part_{number} = {number}" for number in range(16))]
    answer = agent.call("edit", {"start_line": 22, "end_line": 31, "content": "\n".join(body)}).json()
    assert answer["observation"].split("\n")[3:] == [
        "    22  class LayerNorm(nn.Module):",
        "    23      part_0 = 0",
        "    24      part_1 = 1",
        "       ... (11 more lines) ...",
        "    36      part_13 = 13",
        "    37      part_14 = 14",
        "    38      part_15 = 15",
        "...",
        "    95  class Block(nn.Module):",
        "    96      def __init__(self, config):",
        "    97          super().__init__()",
        "       ... (7 more lines) ...",
        "   105          x = x + self.mlp(self.ln_2(x))",
        "   106          return x",
        "   107  ",
        "...",
        "   252      # CONFIG_OVERRIDES: override training hyperparameters for your method.",
        "   253      # Allowed keys: learning_rate, weight_decay, warmup_iters, min_lr, grad_clip.",
        "   254      CONFIG_OVERRIDES = {}",
    ]
