"""Failures of one process that another one tells: what is shown names the cause. The outputs are real ones, cut."""

from __future__ import annotations

import pytest

from runner.text import useful_end

NOTICED = """\
[rank0]: Traceback (most recent call last):
[rank0]:   File "custom_pretrain.py", line 93, in forward
[rank0]:     dist.all_reduce(x)
[rank0]: RuntimeError: [third_party/gloo/gloo/transport/tcp/pair.cc:537] Read error: Connection reset by peer. GLHF
"""
ABORTED = """\
terminate called after throwing an instance of 'gloo::EnforceNotMet'
  what():  [enforce fail at pair.cc:456] op.preamble.length <= op.nbytes. 100000 vs 4. Received data size doesn't match.
"""
ENDED = """\
W1126 04:27:07.115000 11362 torch/distributed/elastic/multiprocessing/api.py:1028] Sending process 11588 closing signal
E1126 04:27:07.234000 11362 torch/distributed/elastic/api.py:1002] failed (exitcode: {status}) local_rank: 1
Traceback (most recent call last):
  File "bin/torchrun", line 10, in <module>
    sys.exit(main())
torch.distributed.elastic.multiprocessing.errors.ChildFailedError: x
"""
UNUSED = """\
[rank{rank}]: Traceback (most recent call last):
[rank{rank}]:   File "custom_pretrain.py", line 370, in train
[rank{rank}]:     loss = ddp(x, y)[1]
[rank{rank}]: RuntimeError: Expected to have finished reduction in the prior iteration before starting a new one. You \
can enable unused parameter detection by passing the keyword argument `find_unused_parameters=True`
[rank{rank}]: making sure all `forward` function outputs participate in calculating loss.
[rank{rank}]: {names}
[rank{rank}]: Parameter indices which did not receive grad for rank {rank}: 0 3 4
"""


def shown(stderr: str) -> str:
    return useful_end(b"", stderr.encode(), 4000)


@pytest.mark.parametrize("first", [ABORTED + NOTICED, NOTICED + ABORTED])
def test_an_abort_is_told_before_the_process_that_noticed_it(first: str) -> None:
    told = shown(first + ENDED.format(status=-6))
    assert told.startswith(
        "terminate called after throwing an instance of 'gloo::EnforceNotMet'\n  what():  [enforce fail"
    )
    assert "100000 vs 4" in told
    assert "\nThe process of rank 1 was ended by signal 6 (SIGABRT).\n\nTraceback (most recent call last):\n" in told
    assert "    dist.all_reduce(x)\n" in told
    assert "torchrun" not in told


@pytest.mark.parametrize(
    ("status", "name"), [(-11, "11 (SIGSEGV)"), (-9, "9 (SIGKILL)"), (-7, "7 (SIGBUS)"), (-99, "99")]
)
def test_a_silent_death_is_told_by_its_signal(status: int, name: str) -> None:
    assert shown(NOTICED + ENDED.format(status=status)).startswith(
        f"The process of rank 1 was ended by signal {name}.\n"
    )


def test_a_process_that_knew_is_shown_alone() -> None:
    knew = NOTICED.replace("RuntimeError: [third_party", "ValueError: [third").replace(
        "Connection reset by peer", "width 63"
    )
    told = shown(knew.replace("rank0", "rank1") + NOTICED + ENDED.format(status=1))
    assert "width 63" in told
    assert "reset by peer" not in told


@pytest.mark.parametrize(
    ("names", "listed"),
    [
        (
            "Parameters which did not receive grad for rank 0: gate.bias, gate.weight, .scale",
            ": gate.bias, gate.weight, scale.",
        ),
        (
            f"Parameters which did not receive grad for rank 0: {', '.join(f'a.{n}' for n in range(20))}",
            "a.11 and 8 more.",
        ),
        (
            "In addition, you can set the environment variable TORCH_DISTRIBUTED_DEBUG to either INFO",
            "got no gradient. ",
        ),
    ],
)
def test_unused_parameters_are_named_without_advice_that_no_agent_can_take(names: str, listed: str) -> None:
    told = shown("".join(UNUSED.format(rank=rank, names=names) for rank in (1, 0)) + ENDED.format(status=1))
    assert "RuntimeError: some parameters got no gradient" in told
    assert listed in told
    assert "find_unused_parameters" not in told
    assert "TORCH_DISTRIBUTED_DEBUG" not in told
    assert "    loss = ddp(x, y)[1]\n" in told
