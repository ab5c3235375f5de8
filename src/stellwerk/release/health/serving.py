"""Health of what programs need: addresses, storage, namespaces, kinds."""

from stellwerk.release.conditions import condition, entries, part, status_of
from stellwerk.release.health.state import HEALTHY, Health, Related, degraded, progressing
from stellwerk.release.objects import Body, key_of
from stellwerk.release.reasons import Reason


def of_service(body: Body, related: Related) -> Health:
    """Tell whether it has its address, and somebody behind it as far as that is known."""
    spec = part(body, "spec")
    if spec.get("type") == "LoadBalancer" and not part(status_of(body), "loadBalancer").get("ingress"):
        return progressing("has no address yet")
    if related.endpoints is None or not spec.get("selector") or spec.get("type") == "ExternalName":
        return HEALTHY
    subsets = entries(related.endpoints, "subsets")
    if any(one.get("addresses") for one in subsets):
        return HEALTHY
    message = "the pods behind it are not ready" if subsets else "its selector matches no pod"
    return Health("progressing", message, Reason("NoEndpoints", message, False, key_of(body)))


def of_claim(body: Body, related: Related) -> Health:
    """Tell whether it is bound, or waits for a pod to use it: then its pod must not wait for it."""
    match status_of(body).get("phase"):
        case "Bound":
            return HEALTHY
        case "Lost":
            return degraded("its volume does not exist any more")
        case _:
            pass
    if any(event.get("reason") == "WaitForFirstConsumer" for event in related.events):
        return HEALTHY
    return progressing("is not bound")


def of_volume(body: Body, _: Related) -> Health:
    """Tell whether it can be used, or is."""
    status = status_of(body)
    match status.get("phase"):
        case "Available" | "Bound" | "Released":
            return HEALTHY
        case "Failed":
            return degraded(str(status.get("message") or "could not be reclaimed"))
        case _:
            return progressing("is not available yet")


def of_namespace(body: Body, _: Related) -> Health:
    """Tell whether objects can be made in it."""
    phase = status_of(body).get("phase", "Active")
    return HEALTHY if phase == "Active" else progressing("is being deleted")


def of_definition(body: Body, _: Related) -> Health:
    """Tell whether its kind is served."""
    names = condition(body, "NamesAccepted")
    if names.fails:
        return degraded(names.message or "its names are taken")
    return HEALTHY if condition(body, "Established").holds else progressing("is not served yet")


def of_api_service(body: Body, _: Related) -> Health:
    """Tell whether somebody answers for it."""
    available = condition(body, "Available")
    return HEALTHY if available.holds else progressing(available.message or "is not available yet")


def of_scaler(body: Body, _: Related) -> Health:
    """Tell whether it can scale; that metrics are not there yet is not its fault."""
    able = condition(body, "AbleToScale")
    return degraded(able.message) if able.fails else HEALTHY


def of_node(body: Body, _: Related) -> Health:
    """Tell whether it takes pods."""
    ready = condition(body, "Ready")
    return HEALTHY if ready.holds else degraded(ready.message or "is not ready")


def of_other(body: Body, _: Related) -> Health:
    """Judge a kind that is not known by the conditions that custom resources are expected to have."""
    stalled = condition(body, "Stalled")
    if stalled.holds:
        return degraded(stalled.message or stalled.reason)
    at_work = condition(body, "Reconciling")
    if at_work.holds:
        return progressing(at_work.message or at_work.reason)
    for name in ("Ready", "Available"):
        found = condition(body, name)
        if found.status:
            return HEALTHY if found.holds else progressing(found.message or f"is not {name.lower()}")
    return HEALTHY
