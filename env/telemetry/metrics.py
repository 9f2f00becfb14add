"""Figures for Prometheus, in a registry of their own.

What the database knows (sessions, tests, refunds) is counted there at each scrape, so that it is right after a restart
too; requests and stages are counted as they happen, since the start of the process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from env.store.model import Status
from env.store.store import Store
from runner.pool import Host, Pool

_REQUEST_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_STAGE_S = (1, 2, 5, 10, 30, 60, 300, 900, 1800, 3600, 7200, 14400, 21600, 28800, 43200, 86400)


class Metrics:
    """The figures that a scrape gets."""

    def __init__(self, store: Store, host: Host) -> None:
        self._registry = CollectorRegistry()
        self.requests = Histogram(
            "ringfence_request_seconds",
            "Requests by route and status, and how long they took; waiting for a test counts as well.",
            ("method", "route", "status"),
            buckets=_REQUEST_S,
            registry=self._registry,
        )
        self.stages = Histogram(
            "ringfence_stage_seconds",
            "Runs of a stage that are over, and how long their host saw them run.",
            ("stage", "part", "status"),
            buckets=_STAGE_S,
            registry=self._registry,
        )
        self._state = _State(store, host)
        self._registry.register(self._state)

    def show_waiting(self, count: Callable[[], Mapping[str, int]]) -> None:
        """`count` tells how many runs wait on a cluster, by its reasons."""
        self._state.waiting = count

    def text(self) -> bytes:
        """The figures as they are now, in Prometheus' text format."""
        return generate_latest(self._registry)


class _State(Collector):
    """What is so now, asked when it is wanted."""

    def __init__(self, store: Store, host: Host) -> None:
        self._store = store
        self.waiting: Callable[[], Mapping[str, int]] = dict
        self._pools = {"slot": host.slots} | ({"gpu": host.gpus} if host.gpus is not host.slots else {})

    def describe(self) -> list[Metric]:
        return []  # nothing is asked of the database before the first scrape

    def collect(self) -> Iterator[Metric]:
        with self._store.read() as conn:
            by_status, totals = self._store.counts(conn), self._store.totals(conn)
        yield CounterMetricFamily("ringfence_sessions", "Sessions opened.", totals.sessions)
        yield CounterMetricFamily("ringfence_refunds", "Tests given back to their sessions.", totals.refunds)
        tests = GaugeMetricFamily("ringfence_tests", "Tests by status.", labels=["status"])
        for status in Status:
            tests.add_metric([status.value], by_status.get(status.value, 0))
        yield tests
        devices = GaugeMetricFamily("ringfence_devices", "Slots for runs on CPUs, and GPUs.", labels=["kind", "state"])
        for kind, pool in self._pools.items():
            _add(devices, kind, pool)
        yield devices
        waiting = GaugeMetricFamily(
            "ringfence_waiting_runs", "Runs that wait on a cluster, by its reason.", labels=["reason"]
        )
        for reason, count in self.waiting().items():
            waiting.add_metric([reason], count)
        yield waiting


def _add(devices: GaugeMetricFamily, kind: str, pool: Pool) -> None:
    devices.add_metric([kind, "free"], pool.free)
    devices.add_metric([kind, "leased"], len(pool.devices) - pool.free)
