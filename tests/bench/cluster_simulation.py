"""`python -m tests.bench.cluster_simulation`: many agents on a cluster of GPUs, with the service's own pool of devices.

Prints the table of docs/cluster.md. Simulated is the time alone; how tests are started is the loop's rule: first come,
first served, and nobody overtakes who waits for the same GPUs. What a service does takes no time here.
"""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from statistics import fmean, quantiles

from runner.pool import Device, Pool

GPUS_A_TEST = 2
FULL_S, PROXY_S, EVALUATION_S = 5.4 * 3600, 12 * 60.0, 90.0
"""A test at gpt-345m and at gpt-124m on two GPUs, and what either is evaluated in."""
THINKING_S = 300.0
"""Between two calls of an agent, on average."""
TESTS, PROBES = 3, 6
FAILED_EARLY, DIVERGED = 0.10, 0.05
"""Shares of tests that end by themselves: within two minutes by a mistake, or at any moment by a loss that is not
finite, which is noticed at once. Assumed, as five recorded sessions are too few to tell."""


@dataclass(frozen=True)
class Outcome:
    """What came of a crowd; times in hours."""

    makespan: float
    ideal: float
    waits: list[float]
    burned: float
    """GPU hours of tests that ended by themselves."""

    @property
    def over_ideal(self) -> float:
        """The ideal: no GPU ever idle, or the agent whose tests take longest never waiting."""
        return self.makespan / self.ideal

    def row(self, what: str) -> str:
        slow = quantiles(self.waits, n=20)[-1]
        parts = (
            f"{self.makespan:,.1f}",
            f"{self.over_ideal:.2f}",
            f"{fmean(self.waits):,.1f}",
            f"{slow:,.1f}",
        )
        return f"| {what} | {' | '.join(parts)} | {self.burned:,.0f} |"


def simulate(agents: int, gpus: int, *, probes: bool, early_stop: bool = True, seed: int = 42) -> Outcome:
    """All agents come at once. With `probes` each spends those first, and one full test on what they found best;
    without, all of its full tests.
    """
    random, pool, order = Random(seed), Pool([Device(f"gpu-{number}") for number in range(gpus)]), itertools.count()
    events: list[tuple[float, int, int, tuple[str, ...]]] = []
    work = [_durations(random, probes=probes, early_stop=early_stop) for _ in range(agents)]
    waiting: deque[tuple[int, float, float]] = deque()
    waits: list[float] = []
    alone = [0.0] * agents
    """What each agent's tests would take if it never waited."""
    burned = now = 0.0

    def ask(agent: int) -> None:
        nonlocal burned
        step = next(work[agent], None)
        if step is not None:
            duration, wasted = step
            alone[agent] += duration
            burned += duration * GPUS_A_TEST if wasted else 0.0
            waiting.append((agent, now, duration))

    for agent in range(agents):
        heapq.heappush(events, (random.expovariate(1 / THINKING_S), next(order), agent, ()))
    last = 0.0
    while events:
        now, _, agent, leased = heapq.heappop(events)
        if leased:
            last = now
            pool.give_back(leased)
            heapq.heappush(events, (now + random.expovariate(1 / THINKING_S), next(order), agent, ()))
        else:
            ask(agent)
        while waiting and (devices := pool.lease(GPUS_A_TEST)) is not None:
            whose, since, duration = waiting.popleft()
            waits.append((now - since) / 3600)
            heapq.heappush(events, (now + duration, next(order), whose, devices))
    ideal = max(sum(alone) * GPUS_A_TEST / gpus, max(alone))
    return Outcome(last / 3600, ideal / 3600, waits, burned / 3600)


def _durations(random: Random, *, probes: bool, early_stop: bool) -> Iterator[tuple[float, bool]]:
    """Seconds of an agent's tests, one after another, and whether each ends by itself."""
    kinds = [PROXY_S] * PROBES + [FULL_S] if probes else [FULL_S] * TESTS
    for full in kinds:
        dice = random.random()
        if dice < FAILED_EARLY:
            yield min(120.0, full), True
        elif dice < FAILED_EARLY + DIVERGED:
            yield (random.random() * full if early_stop else full), True
        else:
            yield full + EVALUATION_S, False


def main() -> None:
    """Print the table."""
    print("| agents, GPUs, tests each | makespan, h | over ideal | waited, h: mean | 95 % | GPU hours lost |")
    print("|---|---:|---:|---:|---:|---:|")
    for agents, gpus in itertools.product((100, 1000), (8, 64, 512)):
        print(simulate(agents, gpus, probes=False).row(f"{agents:,}, {gpus}, {TESTS} full"))
        print(simulate(agents, gpus, probes=True).row(f"{agents:,}, {gpus}, {PROBES} probes and 1 full"))
    print(simulate(50, 8, probes=False).row("50, 8, 3 full"))
    print(simulate(100, 64, probes=False, early_stop=False).row("100, 64, 3 full, diverged runs go on to their end"))


if __name__ == "__main__":
    main()
