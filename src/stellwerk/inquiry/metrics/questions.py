"""What is asked of Prometheus: the same few questions every time, in PromQL.

The names are those of cAdvisor, of kube-state-metrics, and the common ones of HTTP servers (Prometheus' own
client libraries, Micrometer, OpenTelemetry). Whoever measures under other names gets no series, and no error.
"""

import re
from collections.abc import Iterable, Mapping, Sequence

from stellwerk.inquiry.model import Measure, ObjectRef

OVER = "5m"
"""What shares are taken over: ten scrapes of the usual thirty seconds."""
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
_CONTAINER = "namespace,pod,container"
_SERVERS = (
    ("http_requests_total", ("code", "status", "status_code")),
    ("http_server_requests_seconds_count", ("status",)),
    ("http_server_request_duration_seconds_count", ("http_response_status_code",)),
)
"""Counters of answered requests, each with the labels in which its answers' status may stand."""


def questions(pods: Sequence[ObjectRef]) -> Mapping[Measure, str]:
    """Write the questions about these pods; none without pods."""
    chosen = [pod for pod in pods if _NAME.fullmatch(pod.name) and _NAME.fullmatch(pod.namespace)]
    if not chosen:
        return {}
    namespaces, names = _either(one.namespace for one in chosen), _either(one.name for one in chosen)
    where = f'namespace=~"{namespaces}",pod=~"{names}"'
    container = f'{where},container!="",container!="POD"'
    return {
        "cpu_throttled": _share(
            f"increase(container_cpu_cfs_throttled_periods_total{{{container}}}[{OVER}])",
            f"increase(container_cpu_cfs_periods_total{{{container}}}[{OVER}])",
            _CONTAINER,
        ),
        "memory_bytes": f"max by ({_CONTAINER}) (container_memory_working_set_bytes{{{container}}})",
        "restarts": f"max by ({_CONTAINER}) (kube_pod_container_status_restarts_total{{{where}}})",
        "failed_share": " or ".join(
            _share(
                " or ".join(f'rate({counter}{{{where},{label}=~"5.."}}[{OVER}])' for label in labels),
                f"rate({counter}{{{where}}}[{OVER}])",
                "namespace,pod",
            )
            for counter, labels in _SERVERS
        ),
    }


def _share(part: str, whole: str, by: str) -> str:
    return f"sum by ({by}) ({part}) / sum by ({by}) ({whole})"


def _either(names: Iterable[str]) -> str:
    return "|".join(sorted({name.replace(".", r"\\.") for name in names}))
