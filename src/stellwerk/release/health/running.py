"""Health of what runs programs."""

from stellwerk.release.conditions import condition, part, status_of
from stellwerk.release.health.state import HEALTHY, Health, Related, degraded, progressing, suspended
from stellwerk.release.objects import Body


def of_deployment(body: Body, _: Related) -> Health:
    """Tell whether all its pods are new and available."""
    wanted, status = _wanted(body), status_of(body)
    updated, available = _count(status, "updatedReplicas"), _count(status, "availableReplicas")
    rollout = condition(body, "Progressing")
    if rollout.fails:
        return degraded(rollout.message or "was not rolled out in time")
    if "observedGeneration" not in status:
        return progressing("its controller has not seen it yet")
    if part(body, "spec").get("paused") and updated < wanted:
        return suspended("its rollout is paused")
    if updated < wanted:
        return progressing(f"{updated} of {wanted} pods updated")
    if _count(status, "replicas") > updated:
        return progressing(f"{_count(status, 'replicas') - updated} old pods still there")
    if available < wanted:
        message = f"{available} of {wanted} pods available"
        lost = rollout.reason == "NewReplicaSetAvailable" and condition(body, "Available").fails
        return degraded(message) if lost else progressing(message)
    return HEALTHY


def of_replica_set(body: Body, _: Related) -> Health:
    """Tell whether all its pods are available."""
    wanted, available = _wanted(body), _count(status_of(body), "availableReplicas")
    if "observedGeneration" not in status_of(body):
        return progressing("its controller has not seen it yet")
    return HEALTHY if available >= wanted else progressing(f"{available} of {wanted} pods available")


def of_stateful_set(body: Body, _: Related) -> Health:
    """Tell whether all its pods are ready, and those above its partition new."""
    wanted, status, strategy = _wanted(body), status_of(body), part(body, "spec", "updateStrategy")
    if "observedGeneration" not in status:
        return progressing("its controller has not seen it yet")
    if (ready := _count(status, "readyReplicas")) < wanted:
        return progressing(f"{ready} of {wanted} pods ready")
    if _count(status, "replicas") > wanted:
        return progressing(f"{_count(status, 'replicas') - wanted} pods too many")
    if strategy.get("type") == "OnDelete" or status.get("currentRevision") == status.get("updateRevision"):
        return HEALTHY
    new = max(0, wanted - int(part(strategy, "rollingUpdate").get("partition") or 0))
    updated = _count(status, "updatedReplicas")
    return HEALTHY if updated >= new else progressing(f"{updated} of {new} pods updated")


def of_daemon_set(body: Body, _: Related) -> Health:
    """Tell whether every node that should has a new pod that is available."""
    status = status_of(body)
    if "observedGeneration" not in status:
        return progressing("its controller has not seen it yet")
    wanted = _count(status, "desiredNumberScheduled")
    updated, available = _count(status, "updatedNumberScheduled"), _count(status, "numberAvailable")
    if part(body, "spec", "updateStrategy").get("type") != "OnDelete" and updated < wanted:
        return progressing(f"{updated} of {wanted} pods updated")
    return HEALTHY if available >= wanted else progressing(f"{available} of {wanted} pods available")


def of_pod(body: Body, _: Related) -> Health:
    """Tell whether it is ready, or has done its work."""
    match status_of(body).get("phase"):
        case "Succeeded":
            return HEALTHY
        case "Failed":
            return degraded(str(status_of(body).get("message") or "has failed"))
        case "Running" if condition(body, "Ready").holds:
            return HEALTHY
        case "Running":
            return progressing("is not ready")
        case _:
            return progressing("is not running")


def of_job(body: Body, _: Related) -> Health:
    """Tell whether it has done its work."""
    if condition(body, "Complete").holds:
        return HEALTHY
    failed = condition(body, "Failed")
    if failed.holds:
        return degraded(failed.message or "has failed")
    if part(body, "spec").get("suspend"):
        return suspended("is suspended")
    status = status_of(body)
    return progressing(f"{_count(status, 'succeeded')} of {_completions(body)} done")


def of_cron_job(body: Body, _: Related) -> Health:
    """Tell whether it goes on; what its jobs did is their own."""
    return suspended("is suspended") if part(body, "spec").get("suspend") else HEALTHY


def _wanted(body: Body) -> int:
    replicas = part(body, "spec").get("replicas")
    return 1 if replicas is None else int(replicas)


def _completions(body: Body) -> int:
    return int(part(body, "spec").get("completions") or 1)


def _count(status: Body, name: str) -> int:
    return int(status.get(name) or 0)
