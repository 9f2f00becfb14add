"""Tracebacks as an agent should read them: its own frames, and where the exception was raised."""

from __future__ import annotations

from runner.tracebacks import shortened

OWN = [
    '  File "/srv/runs/7/work/nanoGPT/custom_pretrain.py", line 93, in forward',
    "    x = x + self.attn(x)",
    "        ^^^",
]
TORCH = '  File "/opt/venv/lib/python3.11/site-packages/torch/nn/modules/module.py", line {}, in _call_impl'


def inside(*lines: int) -> list[str]:
    return [
        text for line in lines for text in (TORCH.format(line), "    return forward_call(*args)", "           ^^^^")
    ]


def test_calls_inside_a_library_become_one_line() -> None:
    frames = ["Traceback (most recent call last):", *OWN, *inside(1, 2, 3), *OWN]
    assert shortened(frames) == [
        "Traceback (most recent call last):",
        *OWN,
        "  [... 3 calls inside torch ...]",
        *OWN,
    ]


def test_the_frame_that_raised_is_kept_without_the_hosts_folders() -> None:
    assert shortened([*OWN, *inside(1, 2, 3)]) == [
        *OWN,
        "  [... 2 calls inside torch ...]",
        '  File "torch/nn/modules/module.py", line 3, in _call_impl',
        "    return forward_call(*args)",
        "           ^^^^",
    ]


def test_a_single_call_into_a_library_stays() -> None:
    assert shortened([*inside(1), *OWN])[0] == '  File "torch/nn/modules/module.py", line 1, in _call_impl'


def test_own_frames_and_other_lines_stay_as_they_are() -> None:
    frames = [
        *OWN,
        "ValueError: first",
        "",
        "During handling of the above exception, another exception occurred:",
        *OWN,
    ]
    assert shortened(frames) == frames
    assert shortened([]) == []
