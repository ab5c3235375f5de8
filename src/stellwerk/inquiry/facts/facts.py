"""All that a bundle says, found by what its objects are to one another."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import cached_property

from stellwerk.inquiry.facts.naming import named, ref_of
from stellwerk.inquiry.facts.references import WORKLOADS
from stellwerk.inquiry.facts.templates import labels_of, selects
from stellwerk.inquiry.model import Bundle, Change, LogText, ObjectRef
from stellwerk.release.conditions import entries, part, status_of
from stellwerk.release.kinship import made_by, newest_replica_set, pods_of
from stellwerk.release.objects import Body

DEEPEST_OWNER = 6
"""Pod, ReplicaSet, Deployment are three; a loop of owners ends here."""


class Facts:
    """A bundle with its indexes. Nothing of it is changed."""

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self.now = datetime.fromtimestamp(bundle.at / 1_000_000, UTC)
        self._objects = {ref_of(body): body for body in bundle.objects if body.get("kind") != "Event"}
        self._by_kind: dict[str, list[Body]] = {}
        for body in bundle.objects:
            self._by_kind.setdefault(str(body.get("kind")), []).append(body)
        self._unread = {gap.object for gap in bundle.gaps if gap.object is not None}
        self._tops: dict[ObjectRef, Body] = {}

    def of(self, kind: str, namespace: str | None = None) -> list[Body]:
        """List the objects of a kind."""
        found = self._by_kind.get(kind, [])
        return [body for body in found if namespace is None or ref_of(body).namespace == namespace]

    def get(self, ref: ObjectRef) -> Body | None:
        """Return an object; None if the bundle has none of this name."""
        return self._objects.get(ref._replace(api_version=""))

    def absent(self, ref: ObjectRef) -> bool:
        """Whether an object that others name is not there, as far as we were allowed to look."""
        ref = ref._replace(api_version="")
        unread = {ref, ref._replace(name="")} & self._unread
        return ref not in self._objects and not unread

    def top(self, body: Body) -> Body:
        """Return the last workload of the chain of owners, or the object itself.

        A custom resource above is a unit of its own: what it made is described by the workload.
        """
        ref = ref_of(body)
        if ref not in self._tops:
            self._tops[ref] = self._climb(body)
        return self._tops[ref]

    def unit(self, ref: ObjectRef) -> ObjectRef:
        """Return the unit that an object belongs to: its top owner, or itself."""
        body = self.get(ref)
        if body is not None:
            return ref_of(self.top(body))
        return ref._replace(api_version="")

    @cached_property
    def workloads(self) -> Sequence[Body]:
        """All that runs programs and that nobody else made."""
        return [
            body
            for kind in WORKLOADS
            for body in self.of(kind)
            if self.top(body) is body and not _mirrors(body)
        ]

    def pods(self, workload: Body, *, every: bool = False) -> list[Body]:
        """List the pods of a workload's newest revision, or those of all of them; new ones first."""
        kind = workload.get("kind")
        pods = self.of("Pod")
        if kind == "Pod":
            return [workload]
        if kind == "CronJob":
            found = [pod for job in made_by(workload, self.of("Job")) for pod in made_by(job, pods)]
        elif kind == "Deployment" and every:
            sets = made_by(workload, self.of("ReplicaSet"))
            found = [pod for one in sets for pod in made_by(one, pods)]
        elif every:
            found = made_by(workload, pods)
        else:
            found = pods_of(workload, pods, self.of("ReplicaSet"))
            if kind == "StatefulSet":  # a pod that hangs keeps the others from the newest revision
                found = found or made_by(workload, pods)
        return sorted(
            found, key=lambda pod: str(part(pod, "metadata").get("creationTimestamp")), reverse=True
        )

    def stale(self, ref: ObjectRef) -> bool:
        """Whether an object is a pod that is no more wanted: of an older revision, or on its way out."""
        pod = self.get(ref) if ref.kind == "Pod" else None
        if pod is None:
            return False
        top = self.top(pod)
        if top.get("kind") != "Deployment":
            return bool(part(pod, "metadata").get("deletionTimestamp"))
        return not any(pod is one for one in self.pods(top)) and bool(self.pods(top))

    def events(self, body: Body) -> list[Body]:
        """List the events about an object, the latest last."""
        ref, uid = ref_of(body), part(body, "metadata").get("uid")
        found = []
        for event in self.of("Event"):
            about = part(event, "involvedObject")
            same = about.get("uid") == uid if about.get("uid") and uid else True
            if same and about.get("kind") == ref.kind and about.get("name") == ref.name:
                found.append(event)
        return sorted(found, key=event_at)

    def logs(self, pod: Body) -> list[LogText]:
        """List what was read of a pod's logs."""
        ref = ref_of(pod)
        return [one for one in self.bundle.logs if (one.namespace, one.pod) == (ref.namespace, ref.name)]

    def changes(self, ref: ObjectRef) -> list[Change]:
        """List the changes of an object, the latest last."""
        ref = ref._replace(api_version="")
        found = [one for one in self.bundle.changes if one.object._replace(api_version="") == ref]
        return sorted(found, key=lambda one: one.at)

    def behind(self, service: Body) -> list[Body]:
        """List the workloads whose pods a Service selects by their labels."""
        selector = part(service, "spec").get("selector") or {}
        namespace = ref_of(service).namespace
        return [
            body
            for body in self.workloads
            if ref_of(body).namespace == namespace and selects(selector, labels_of(body))
        ]

    def fronting(self, workload: Body) -> list[Body]:
        """List the services that select a workload's pods."""
        namespace, labels = ref_of(workload).namespace, labels_of(workload)
        return [
            service
            for service in self.of("Service", namespace)
            if selects(part(service, "spec").get("selector") or {}, labels)
        ]

    def endpoints(self, service: Body) -> Body | None:
        """Return the Endpoints of a Service; None if they are not there or were not read."""
        ref = ref_of(service)
        return self.get(named("Endpoints", ref.namespace, ref.name))

    def controlled(self, body: Body) -> list[Body]:
        """List the workloads that a custom resource had made."""
        return [one for one in self.workloads if made_by(body, [one])]

    def earlier(self, deployment: Body) -> Body | None:
        """Return the ReplicaSet of the revision before the newest; None if there is none."""
        newest = newest_replica_set(deployment, self.of("ReplicaSet"))
        own = [one for one in made_by(deployment, self.of("ReplicaSet")) if one is not newest]
        return max(own, key=revision, default=None)

    def newest(self, deployment: Body) -> Body | None:
        """Return the ReplicaSet of the newest revision."""
        return newest_replica_set(deployment, self.of("ReplicaSet"))

    def _climb(self, body: Body) -> Body:
        top = body
        for _ in range(DEEPEST_OWNER):
            above = self._owner(top)
            if above is None:
                break
            top = above
        return top

    def _owner(self, body: Body) -> Body | None:
        for one in entries(part(body, "metadata"), "ownerReferences"):
            if one.get("controller") and one.get("kind") in WORKLOADS:
                return self.get(named(str(one.get("kind")), ref_of(body).namespace, str(one.get("name"))))
        return None


def event_at(event: Body) -> str:
    """Return when an event happened last, as text that can be compared."""
    seen = part(event, "series").get("lastObservedTime") or event.get("lastTimestamp")
    return str(
        seen or event.get("eventTime") or part(event, "metadata").get("creationTimestamp") or ""
    ).replace(".", "~")  # a fraction of a second comes after none


def revision(replica_set: Body) -> int:
    """Return the number of a ReplicaSet's revision."""
    text = str(part(replica_set, "metadata", "annotations").get("deployment.kubernetes.io/revision", "0"))
    return int(text) if text.isdigit() else 0


def statuses(pod: Body) -> Iterator[tuple[Body, bool]]:
    """List the statuses of a pod's containers, each with whether it runs before the others."""
    for one in entries(status_of(pod), "initContainerStatuses"):
        yield one, True
    for one in entries(status_of(pod), "containerStatuses"):
        yield one, False


def _mirrors(body: Body) -> bool:
    """Whether a pod is a static one of its node, which no object describes."""
    return "kubernetes.io/config.mirror" in part(body, "metadata", "annotations")
