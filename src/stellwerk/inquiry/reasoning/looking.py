"""The tools of the model: three, and all of them only read.

What was collected is read first, and costs no call. What is not there is read from the cluster within the
budget, masked and trimmed as all evidence, in the namespaces that the evidence is from already: a model that
was talked into something sees no more of the cluster than the investigation itself. Secrets are names of
keys.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from stellwerk.inquiry.evidence.fencing import fence
from stellwerk.inquiry.evidence.masking import mask_text, masked
from stellwerk.inquiry.evidence.meter import Meter
from stellwerk.inquiry.evidence.reading import KNOWN_KINDS
from stellwerk.inquiry.evidence.sealing import sealed
from stellwerk.inquiry.evidence.trimming import trimmed
from stellwerk.inquiry.facts.facts import Facts
from stellwerk.inquiry.facts.naming import in_full, ref_of
from stellwerk.inquiry.model import Bundle, Evidence, LogText, ObjectRef, Source
from stellwerk.inquiry.reasoning.conversation import ToolSpec
from stellwerk.inquiry.reasoning.parsing import as_object, text_of
from stellwerk.release.conditions import condition, part, status_of
from stellwerk.release.objects import Body
from stellwerk.release.rendering.kinds import is_of_the_cluster

LONGEST_RESULT = 4_000
"""Characters of one result: a thousand tokens."""
LONGEST_EXCERPT = 400
MOST_LISTED = 40
MOST_LINES = 40

_NAME = {"type": "string"}
TOOLS: tuple[ToolSpec, ...] = (
    ToolSpec(
        "list_objects",
        "List objects of one kind with their state.",
        {"type": "object", "properties": {"kind": _NAME, "namespace": _NAME}, "required": ["kind"]},
    ),
    ToolSpec(
        "describe_object",
        "Show one object and the events about it.",
        {
            "type": "object",
            "properties": {"kind": _NAME, "name": _NAME, "namespace": _NAME},
            "required": ["kind", "name"],
        },
    ),
    ToolSpec(
        "read_logs",
        "Show the last log lines of a pod; `contains` keeps the lines with that text.",
        {
            "type": "object",
            "properties": {
                "pod": _NAME,
                "namespace": _NAME,
                "container": _NAME,
                "previous": {"type": "boolean"},
                "contains": _NAME,
            },
            "required": ["pod"],
        },
    ),
)


class BadCall(ValueError):
    """A call that makes no sense; the message is for the model."""


class Looking:
    """Uses the tools for one conversation, and keeps what they gave as evidence."""

    def __init__(self, bundle: Bundle, meter: Meter, *, first_id: int, boundary: str) -> None:
        """`first_id`: number of the next evidence; `boundary`: of the fences, drawn at random."""
        self._facts = Facts(bundle)
        self._meter = meter
        self._next = first_id
        self._boundary = boundary
        target = bundle.target.object
        self._namespace = target.name if target.kind == "Namespace" else target.namespace
        self._allowed = {ref_of(body).namespace for body in bundle.objects} | {self._namespace, ""}
        self.evidence: list[Evidence] = []
        self.texts: dict[str, str] = {}
        """All that was given, by id of the evidence."""
        self.seen: set[ObjectRef] = set()
        """What was read from the cluster."""

    async def use(self, name: str, arguments: Any) -> str:
        """Return what a tool gives. Raises BadCall."""
        given = as_object(arguments if arguments not in (None, "") else {})
        if given is None:
            raise BadCall("the arguments are no JSON object")
        match name:
            case "list_objects":
                return await self._list(given)
            case "describe_object":
                return await self._describe(given)
            case "read_logs":
                return await self._logs(given)
            case _:
                raise BadCall(f"there is no tool {name!r}; there are {', '.join(one.name for one in TOOLS)}")

    async def _list(self, given: Mapping[str, Any]) -> str:
        kind, namespace = self._kind(given), self._where(given)
        found: Sequence[Body] = [
            body for body in self._facts.of(kind) if ref_of(body).namespace in {namespace, ""}
        ]
        if not found and kind not in {"Secret", "Event"}:
            known = KNOWN_KINDS[kind]
            read = await self._meter.list(known, None if _of_the_cluster(kind) else namespace)
            found = [self._kept(body) for body in read]
        if not found:
            raise BadCall(f"no {kind} was seen in {namespace or 'the cluster'}{self._gap()}")
        lines = [f"{ref_of(body)}: {_state(body)}" for body in found[:MOST_LISTED]]
        if len(found) > MOST_LISTED:
            lines.append(f"… and {len(found) - MOST_LISTED} more")
        return self._give("list", ObjectRef(kind, namespace, ""), "\n".join(lines))

    async def _describe(self, given: Mapping[str, Any]) -> str:
        kind, namespace = self._kind(given), self._where(given)
        name = self._text(given, "name")
        ref = ObjectRef(kind, "" if _of_the_cluster(kind) else namespace, name)
        body = self._facts.get(ref)
        if body is None:
            read = await self._meter.get(KNOWN_KINDS[kind], ref.namespace, name)
            body = None if read is None else self._kept(read)
        if body is None:
            raise BadCall(f"{ref} is not there{self._gap()}")
        events = [
            f"event {one.get('reason')}: {one.get('message')} ({one.get('count') or 1} times)"
            for one in self._facts.events(body)[-8:]
        ]
        shown = {part_: body[part_] for part_ in ("spec", "data", "status", "subsets") if body.get(part_)}
        shown = {"metadata": _short_metadata(body)} | shown
        text = "\n".join([f"{ref}: {_state(body)}", *events, json.dumps(shown, default=str)])
        return self._give("object", in_full(ref, body), text)

    async def _logs(self, given: Mapping[str, Any]) -> str:
        namespace, pod = (
            self._where(given),
            self._text(given, "pod").removeprefix("Pod/").removeprefix("pod/"),
        )
        container, wanted = text_of(given.get("container"), 253), text_of(given.get("contains"), 100)
        previous = bool(given.get("previous"))
        found = [
            one
            for one in self._facts.bundle.logs
            if (one.namespace, one.pod, one.previous) == (namespace, pod, previous)
            and container in {"", one.container}
        ]
        if not found:
            found = await self._read_log(namespace, pod, container, previous)
        lines = [f"{one.container}: {line}" for one in found for line in one.text.splitlines()]
        lines = [line for line in lines if wanted.lower() in line.lower()][-MOST_LINES:]
        if not lines:
            raise BadCall(f"no such lines in the log of Pod/{pod}{self._gap()}")
        return self._give("log", ObjectRef("Pod", namespace, pod, "v1"), "\n".join(lines))

    async def _read_log(self, namespace: str, pod: str, container: str, previous: bool) -> list[LogText]:
        body = self._facts.get(ObjectRef("Pod", namespace, pod))
        names = [str(one.get("name")) for one in part(body or {}, "spec").get("containers") or ()]
        container = container or (names[0] if names else "")
        if not container:
            raise BadCall(f"Pod/{pod} was not seen in {namespace}; list_objects with kind Pod shows names")
        text = await self._meter.logs(namespace, pod, container, previous=previous)
        if not text:
            return []
        return [
            LogText(
                namespace=namespace, pod=pod, container=container, previous=previous, text=mask_text(text)
            )
        ]

    def _kept(self, body: Body) -> Body:
        self.seen.add(ref_of(body))
        return masked(trimmed(sealed(body, None) if body.get("kind") == "Secret" else body))

    def _kind(self, given: Mapping[str, Any]) -> str:
        wanted = self._text(given, "kind")
        for known in KNOWN_KINDS:
            if wanted.lower() in {known.lower(), f"{known.lower()}s"}:
                return known
        raise BadCall(f"{wanted!r} is no kind that can be read; there are {', '.join(sorted(KNOWN_KINDS))}")

    def _where(self, given: Mapping[str, Any]) -> str:
        namespace = text_of(given.get("namespace"), 253) or self._namespace
        if namespace not in self._allowed:
            raise BadCall(f"namespace {namespace!r} is no part of this investigation")
        return namespace

    def _text(self, given: Mapping[str, Any], name: str) -> str:
        text = text_of(given.get(name), 253)
        if not text or "/" in text.removeprefix("Pod/").removeprefix("pod/"):
            raise BadCall(f"{name} is missing or no name")
        return text

    def _gap(self) -> str:
        """Say why the last read gave nothing, if that is known."""
        gaps = self._meter.gaps
        return f" ({gaps[-1].what}: {gaps[-1].why})" if gaps else ""

    def _give(self, source: Source, ref: ObjectRef, text: str) -> str:
        text = text[:LONGEST_RESULT]
        one = Evidence(id=f"e{self._next}", source=source, object=ref, excerpt=text[:LONGEST_EXCERPT])
        self._next += 1
        self.evidence.append(one)
        self.texts[one.id] = f"{ref} {text}"
        return f"evidence {one.id}\n{fence(text, self._boundary)}"


def _of_the_cluster(kind: str) -> bool:
    return is_of_the_cluster(KNOWN_KINDS[kind].group, kind)


def _state(body: Body) -> str:
    """Say in a line how an object is."""
    status = status_of(body)
    words = []
    if phase := status.get("phase"):
        words.append(str(phase))
    for one in status.get("containerStatuses") or ():
        waiting = part(one, "state", "waiting")
        if waiting.get("reason"):
            words.append(f"{one.get('name')} waits: {waiting['reason']}")
        if one.get("restartCount"):
            words.append(f"{one.get('name')} restarted {one['restartCount']} times")
    replicas = part(body, "spec").get("replicas")
    if replicas is not None:
        words.append(
            f"{status.get('availableReplicas') or status.get('readyReplicas') or 0} of {replicas} available"
        )
    if body.get("kind") in {"Pod", "Node"}:
        words.append("ready" if condition(body, "Ready").holds else "not ready")
    return ", ".join(words) or "there"


def _short_metadata(body: Body) -> dict[str, Any]:
    metadata = part(body, "metadata")
    return {
        name: metadata[name]
        for name in ("labels", "annotations", "creationTimestamp", "deletionTimestamp", "finalizers")
        if metadata.get(name)
    }
