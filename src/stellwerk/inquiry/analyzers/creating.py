"""Pods that cannot even be made: a quota, a limit range, a policy or a webhook refuses them."""

import re
from collections.abc import Iterator

from stellwerk.inquiry.analyzers.clue import Clue, Seen
from stellwerk.inquiry.analyzers.quoting import condition_said, event_said, not_there, said
from stellwerk.inquiry.analyzers.starting import lacking, with_seen
from stellwerk.inquiry.facts.facts import Facts
from stellwerk.inquiry.facts.naming import named, ref_of
from stellwerk.inquiry.facts.resemblance import nearest
from stellwerk.inquiry.model import ObjectRef
from stellwerk.release.conditions import condition, entries, part, status_of
from stellwerk.release.objects import Body

_QUOTA = re.compile(
    r"exceeded quota: ([^,]+), requested: ([^,]+(?:,[^:]+=[^,]+)*?), used: (.+?), limited: (.+)"
)
_QUOTA_WANTS = re.compile(r"failed quota: ([^:]+): must specify (.+)")
_LIMITS = re.compile(r"(?:max|min)imum [\w.-]+ usage per \w+ is|[\w.-]+ max limit to request ratio")
_UNAVAILABLE = re.compile(r"failed calling webhook \"([^\"]+)\": (.*)", re.DOTALL)
_DENIED = re.compile(r"admission webhook \"([^\"]+)\" denied the request:? ?(.*)", re.DOTALL)
_POLICY = re.compile(
    r"violates PodSecurity|unable to validate against any (?:pod )?security (?:policy"
    r"|context)|PodSecurityPolicy"
)
_ACCOUNT = re.compile(r"error looking up service account [^/]+/([^:]+): ")
_WEBHOOKS = ("ValidatingWebhookConfiguration", "MutatingWebhookConfiguration")


def examine(facts: Facts) -> Iterator[Clue]:
    """Find controllers that are refused their pods."""
    for kind in ("ReplicaSet", "StatefulSet", "DaemonSet", "Job"):
        for body in facts.of(kind):
            if found := refusal(facts, body):
                yield _clue(facts, body, *found)


def refusal(facts: Facts, body: Body) -> tuple[str, Seen] | None:
    """Return what a controller was told when it wanted to make a pod; None if it has all that it wants."""
    failure = condition(body, "ReplicaFailure")
    if failure.holds:
        return failure.message, condition_said(body, "ReplicaFailure", failure)
    if not _wants_more(body):
        return None
    failed = [one for one in facts.events(body) if one.get("reason") == "FailedCreate"]
    return (str(failed[-1].get("message", "")), event_said(failed[-1], body)) if failed else None


def _wants_more(body: Body) -> bool:
    status, spec = status_of(body), part(body, "spec")
    match body.get("kind"):
        case "DaemonSet":
            return int(status.get("currentNumberScheduled") or 0) < int(
                status.get("desiredNumberScheduled") or 0
            )
        case "Job":
            return not status.get("active") and not status.get("succeeded")
        case _:
            replicas = spec.get("replicas")
            return int(status.get("replicas") or 0) < (1 if replicas is None else int(replicas))


def _clue(facts: Facts, body: Body, message: str, quoted: Seen) -> Clue:
    namespace = ref_of(body).namespace
    if found := _QUOTA.search(message):
        return _quota(facts, body, found, quoted)
    if found := _QUOTA_WANTS.search(message):
        return Clue(
            "QuotaWantsLimits",
            ref_of(body),
            f"the quota {found[1]} takes only pods that say {found[2]}",
            (quoted,),
            facts={"quota": found[1], "field": found[2]},
        )
    if _LIMITS.search(message):
        ranges = [
            said(one, f"limits: {part(one, 'spec').get('limits')}")
            for one in facts.of("LimitRange", namespace)
        ]
        return Clue(
            "LimitRangeViolated",
            ref_of(body),
            f"the namespace's limit range refuses the pod: {_after_forbidden(message)}",
            (quoted, *ranges[:2]),
        )
    if found := _UNAVAILABLE.search(message):
        return _webhook_down(facts, body, found, quoted)
    if found := _DENIED.search(message):
        return _webhook_denied(facts, body, found, quoted)
    if _POLICY.search(message):
        return Clue(
            "PolicyDenied",
            ref_of(body),
            f"the pod security policy of the namespace refuses the pod: {_after_forbidden(message)}",
            (quoted,),
        )
    if found := _ACCOUNT.search(message):
        ref = named("ServiceAccount", namespace, found[1])
        near = nearest(ref.name, [ref_of(one).name for one in facts.of("ServiceAccount", namespace)])
        return Clue(
            "MissingServiceAccount",
            ref_of(body),
            f"{ref} is not there, and the pods are to run as it",
            (quoted, not_there(ref, near)),
            blames=(ref,),
            facts={"missing": ref.name, "kind": "ServiceAccount"},
            strength=0.95,
        )
    if clue := lacking(facts, message, body):
        return with_seen(clue, quoted)
    code = "PodInvalid" if "is invalid:" in message or "Invalid value" in message else "PodsRefused"
    return Clue(
        code, ref_of(body), f"its pods cannot be made: {_after_forbidden(message)}", (quoted,), strength=0.85
    )


def _quota(facts: Facts, body: Body, found: re.Match[str], quoted: Seen) -> Clue:
    ref = named("ResourceQuota", ref_of(body).namespace, found[1])
    quota = facts.get(ref)
    seen = [quoted]
    if quota is not None:
        status = status_of(quota)
        seen.append(said(quota, f"used {status.get('used')} of {status.get('hard')}"))
    return Clue(
        "QuotaExceeded",
        ref_of(body),
        f"the quota {found[1]} is used up: {found[2]} more is asked for, {found[3]} is used of {found[4]}",
        tuple(seen),
        blames=(ref,),
        facts={"quota": found[1], "requested": found[2], "used": found[3], "limited": found[4]},
        strength=0.93,
    )


def _webhook_down(facts: Facts, body: Body, found: re.Match[str], quoted: Seen) -> Clue:
    hook, why = found[1], found[2]
    configuration, service = hook_named(facts, hook)
    blamed = (configuration,) if configuration else ()
    there = service is not None and facts.get(service) is not None
    if service is not None and there:
        return Clue(
            "WebhookUnavailable",
            ref_of(body),
            f"the webhook {hook} gives no answer: {why}",
            (quoted,),
            "effect",
            points_to=(service,),
            facts={"webhook": hook},
        )
    seen = (quoted, *((not_there(service),) if service else ()))
    return Clue(
        "WebhookUnavailable",
        ref_of(body),
        f"the webhook {hook}, which every pod has to pass, is not there any more: {why}",
        seen,
        blames=blamed,
        facts={"webhook": hook},
    )


def _webhook_denied(facts: Facts, body: Body, found: re.Match[str], quoted: Seen) -> Clue:
    return Clue(
        "WebhookDenied",
        ref_of(body),
        f"the policy behind the webhook {found[1]} refuses the pod: {found[2]}",
        (quoted,),
        facts={"webhook": found[1]},
    )


def hook_named(facts: Facts, name: str) -> tuple[ObjectRef | None, ObjectRef | None]:
    """Return the configuration of a webhook, and the Service that it calls, where they are known."""
    for kind in _WEBHOOKS:
        for body in facts.of(kind):
            for hook in entries(body, "webhooks"):
                if hook.get("name") == name:
                    service = part(hook, "clientConfig", "service")
                    ref = (
                        named("Service", str(service.get("namespace")), str(service.get("name")))
                        if service
                        else None
                    )
                    return ref_of(body), ref
    return None, None


def _after_forbidden(message: str) -> str:
    """Leave out the beginning that every such message has."""
    return message.partition(" is forbidden: ")[2] or message
