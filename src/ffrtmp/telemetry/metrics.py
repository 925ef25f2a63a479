"""Every metric that ffrtmp exports, in one list: name, kind, labels, help. `docs/metrics.md` and the code are held to it by a test.

The definitions are data; `registry` makes the prometheus-client objects for the program that exports them. The names without the
`ffrtmp_` prefix are the reference's: its users' dashboards query them.

Where several processes serve one master, each writes its numbers through to a file of its own in the folder `SHARED` (the library's
multiprocess mode), and whichever is scraped adds up all of them: also those of a process that was killed.
"""

import enum
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec
import prometheus_client
import prometheus_client.metrics
import prometheus_client.metrics_core
import prometheus_client.multiprocess
import prometheus_client.registry

#: the library reads this variable when it is imported: it is set for a process before it starts
SHARED = "PROMETHEUS_MULTIPROC_DIR"
#: the times at which counters were made: series that nobody asks for, and that shared numbers do not have
prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]

_M = TypeVar("_M", bound=prometheus_client.metrics.MetricWrapperBase)


class Kind(enum.StrEnum):
    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"
    UNTYPED = "untyped"  # a gauge under a name of the reference that ends in _total, which promtool allows no gauge


class Metric(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    sampled: bool = False  #: read from the store at each scrape


#: seconds, from a short clip's to a feature film's hours
_DURATION = (0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0, 14400.0)

MASTER: tuple[Metric, ...] = (
    Metric(
        name="ffrtmp_jobs_total",
        kind=Kind.UNTYPED,
        sampled=True,
        labels=("state",),
        help="Jobs that the master knows, by state.",
    ),
    Metric(
        name="ffrtmp_jobs_completed_by_engine",
        kind=Kind.GAUGE,
        sampled=True,
        labels=("engine",),
        help="Jobs completed, by the engine that ran them.",
    ),
    Metric(
        name="scheduler_jobs_by_queue",
        kind=Kind.GAUGE,
        sampled=True,
        labels=("queue",),
        help="Jobs that are not finished, by queue.",
    ),
    Metric(name="scheduler_nodes_total", kind=Kind.UNTYPED, sampled=True, help="Nodes that are registered."),
    Metric(
        name="scheduler_http_bandwidth_bytes_total",
        kind=Kind.COUNTER,
        labels=("direction",),
        help="Bytes through the API, uploads and downloads included, by direction (in, out).",
    ),
    Metric(
        name="ffrtmp_http_requests_total",
        kind=Kind.COUNTER,
        labels=("route", "status"),
        help="API requests, by route and class of the status (2xx, 4xx, …).",
    ),
    Metric(
        name="ffrtmp_queue_depth",
        kind=Kind.GAUGE,
        sampled=True,
        labels=("class", "queue", "state"),
        help="Tasks that wait, by class of requirements, queue and state: what to scale nodes on.",
    ),
    Metric(
        name="ffrtmp_attempt_failures_total",
        kind=Kind.COUNTER,
        sampled=True,
        labels=("code",),
        help="Attempts that failed, by reason code.",
    ),
    Metric(
        name="ffrtmp_retries_total", kind=Kind.COUNTER, sampled=True, help="Attempts that were followed by another."
    ),
    Metric(
        name="ffrtmp_lease_expiries_total", kind=Kind.COUNTER, sampled=True, help="Leases that ended without a report."
    ),
    Metric(
        name="ffrtmp_oldest_expired_lease_seconds",
        kind=Kind.GAUGE,
        help="How long the oldest lease found by the last rescue sweep had been over, those included that it could not take.",
    ),
    Metric(
        name="ffrtmp_store_hints_up",
        kind=Kind.GAUGE,
        sampled=True,
        help="On PostgreSQL: 1 while masters hear of one another's work at once, 0 while they poll for it every second.",
    ),
)

AGENT: tuple[Metric, ...] = (
    Metric(name="ffrtmp_worker_active_jobs", kind=Kind.GAUGE, help="Attempts that this agent is running."),
    Metric(
        name="ffrtmp_worker_jobs_total",
        kind=Kind.COUNTER,
        labels=("outcome",),
        help="Attempts that this agent ended, by outcome.",
    ),
    Metric(
        name="ffrtmp_worker_heartbeat_total",
        kind=Kind.COUNTER,
        help="Heartbeats that the master acknowledged.",
    ),
    Metric(
        name="ffrtmp_worker_job_duration_seconds",
        kind=Kind.HISTOGRAM,
        buckets=_DURATION,
        help="From an attempt's grant to its report.",
    ),
)

_MAKE = {
    Kind.COUNTER: prometheus_client.Counter,
    Kind.GAUGE: prometheus_client.Gauge,
    Kind.HISTOGRAM: prometheus_client.Histogram,
}
_FAMILY = {
    Kind.COUNTER: prometheus_client.metrics_core.CounterMetricFamily,
    Kind.GAUGE: prometheus_client.metrics_core.GaugeMetricFamily,
    Kind.UNTYPED: prometheus_client.metrics_core.UnknownMetricFamily,
}

Samples = Mapping[tuple[str, ...], float]


class _Sampled(prometheus_client.registry.Collector):
    """The metrics whose values come from elsewhere; they are what `samples` last said."""

    def __init__(self, definitions: Sequence[Metric]) -> None:
        self._definitions = definitions
        self.samples: dict[str, Samples] = {}

    def collect(self) -> Iterable[prometheus_client.metrics_core.Metric]:
        for metric in self._definitions:
            family = _FAMILY[metric.kind](metric.name, metric.help, labels=metric.labels)
            for labels, value in sorted(self.samples.get(metric.name, {}).items()):
                family.add_metric(labels, value)
            yield family


class Registry:
    """The live metrics of one program, by name."""

    def __init__(self, definitions: Sequence[Metric]) -> None:
        self._registry = prometheus_client.CollectorRegistry()
        self._exposed = self._registry
        self._metrics: dict[str, prometheus_client.metrics.MetricWrapperBase] = {}
        self._sampled = _Sampled([metric for metric in definitions if metric.sampled])
        if os.environ.get(SHARED):
            self._exposed = prometheus_client.CollectorRegistry()
            prometheus_client.multiprocess.MultiProcessCollector(self._exposed)  # type: ignore[no-untyped-call]
        self._exposed.register(self._sampled)
        for metric in definitions:
            if metric.sampled:
                continue
            options: dict[str, Any] = {"buckets": metric.buckets} if metric.buckets else {}
            if metric.kind is Kind.GAUGE:
                options["multiprocess_mode"] = "mostrecent"
            self._metrics[metric.name] = _MAKE[metric.kind](
                metric.name, metric.help, metric.labels, registry=self._registry, **options
            )

    def counter(self, name: str, *labels: str) -> prometheus_client.Counter:
        return self._get(name, prometheus_client.Counter, labels)

    def gauge(self, name: str, *labels: str) -> prometheus_client.Gauge:
        return self._get(name, prometheus_client.Gauge, labels)

    def histogram(self, name: str, *labels: str) -> prometheus_client.Histogram:
        return self._get(name, prometheus_client.Histogram, labels)

    def sample(self, name: str, samples: Samples) -> None:
        """Set a sampled metric: label values (in the definition's order) → value."""
        self._sampled.samples[name] = samples

    def _get(self, name: str, kind: type[_M], labels: tuple[str, ...]) -> _M:
        metric = self._metrics[name]
        assert isinstance(metric, kind), name
        return metric.labels(*labels) if labels else metric

    def exposition(self) -> bytes:
        """The text that Prometheus scrapes."""
        return prometheus_client.generate_latest(self._exposed)


CONTENT_TYPE = prometheus_client.CONTENT_TYPE_LATEST
