"""How an object is, by the rules that `kstatus` made common.

Each kind says it in its own way; a kind that is not known is judged by its conditions, as custom resources
are expected to have them, and an object without any is well once it is there. Beyond `kstatus`: a workload
that was rolled out and lost its pods is degraded and not in progress, a reason that is certain makes
degraded, and a Job is well when it has done its work, since the next wave may need it.
"""

from collections.abc import Callable, Mapping

from stellwerk.release.conditions import part, status_of
from stellwerk.release.health import running, serving
from stellwerk.release.health.state import MISSING, Health, Related, progressing
from stellwerk.release.objects import Body, group_of
from stellwerk.release.reasons import reason_of

Rule = Callable[[Body, Related], Health]

RULES: Mapping[tuple[str, str], Rule] = {
    ("", "Namespace"): serving.of_namespace,
    ("", "Node"): serving.of_node,
    ("", "PersistentVolume"): serving.of_volume,
    ("", "PersistentVolumeClaim"): serving.of_claim,
    ("", "Pod"): running.of_pod,
    ("", "ReplicationController"): running.of_replica_set,
    ("", "Service"): serving.of_service,
    ("apiextensions.k8s.io", "CustomResourceDefinition"): serving.of_definition,
    ("apiregistration.k8s.io", "APIService"): serving.of_api_service,
    ("apps", "DaemonSet"): running.of_daemon_set,
    ("apps", "Deployment"): running.of_deployment,
    ("apps", "ReplicaSet"): running.of_replica_set,
    ("apps", "StatefulSet"): running.of_stateful_set,
    ("autoscaling", "HorizontalPodAutoscaler"): serving.of_scaler,
    ("batch", "CronJob"): running.of_cron_job,
    ("batch", "Job"): running.of_job,
}
"""By group and kind; every other one is judged by its conditions."""


def health(body: Body | None, related: Related) -> Health:
    """Tell how an object is; `body` None means that it is not there."""
    if body is None:
        return MISSING
    if (early := _early(body)) is not None:
        return early
    rule = RULES.get((group_of(body.get("apiVersion", "")), body.get("kind", "")), serving.of_other)
    found = rule(body, related)
    return found if found.status in {"healthy", "suspended"} else _explained(found, body, related)


def _early(body: Body) -> Health | None:
    """Return what holds for every kind before its own rule counts."""
    metadata, observed = part(body, "metadata"), status_of(body).get("observedGeneration")
    if metadata.get("deletionTimestamp"):
        return progressing("is being deleted")
    if isinstance(observed, int) and observed < int(metadata.get("generation") or 0):
        return progressing("its controller has not seen the last change")
    return None


def _explained(found: Health, body: Body, related: Related) -> Health:
    """Say why, where something is known about it."""
    reason = found.reason or reason_of(body, related.pods, related.events, related.now)
    if reason is None:
        return found
    message = found.message if reason.message == found.message else f"{found.message}: {reason}"
    return Health("degraded" if reason.certain else found.status, message, reason)
