"""Programs that end: killed for their memory, ended by a probe, or by themselves."""

import re
from collections.abc import Iterator

from stellwerk.inquiry.analyzers.clue import Clue, Role, Seen
from stellwerk.inquiry.analyzers.quoting import event_said, log_said, measured, said
from stellwerk.inquiry.facts.facts import Facts, statuses
from stellwerk.inquiry.facts.measures import at_limit, memory_before, restarts_lately
from stellwerk.inquiry.facts.naming import ref_of
from stellwerk.inquiry.facts.templates import container_named
from stellwerk.release.conditions import condition, instant, part, status_of
from stellwerk.release.objects import Body

LATELY_S = 600.0
"""A container that runs again counts as crashing for so long, if it is not ready."""
SURVIVED_S, LONGEST_SURVIVED_S, TIMES_SURVIVED = 10.0, 600.0, 2.0
"""A run counts as better than the one before if it has lasted so long for every restart (as the node's own
pauses grow, and are forgotten after ten minutes), and so many times as long as that one."""
UNTOLD = frozenset({"StartError", "ContainerCannotRun", "ContainerStatusUnknown"})
"""Ends that another analyzer tells, or of which the node itself does not know."""
OFTEN = 2
KILLED = 137
SIGNALLED = frozenset({KILLED, 143})
"""Exit codes of what was told to end, and did or did not."""
_PROBE = re.compile(r"failed (liveness|startup) probe")
_LAST_WORDS = re.compile(
    r"error|fatal|panic|exception|fail|cannot|can't|unable|denied|refused|invalid|missing|not ", re.IGNORECASE
)


def examine(facts: Facts) -> Iterator[Clue]:
    """Find containers that ended and should not have."""
    for pod in facts.of("Pod"):
        if status_of(pod).get("phase") == "Succeeded" or part(pod, "metadata").get("deletionTimestamp"):
            continue
        for status, first in statuses(pod):
            ended = part(status, "state", "terminated") or part(status, "lastState", "terminated")
            if ended and ended.get("reason") not in UNTOLD and crashed(facts, pod, status, first=first):
                yield _clue(facts, pod, status, ended, first=first)


def crashed(facts: Facts, pod: Body, status: Body, *, first: bool = False) -> bool:
    """Whether the end of a container is trouble now: it is down, or has just come back and is not ready."""
    state = part(status, "state")
    ended = part(state, "terminated") or part(status, "lastState", "terminated")
    if first and part(state, "terminated").get("exitCode") == 0:
        return False
    if state.get("terminated") and ended.get("exitCode") == 0:
        return part(pod, "spec").get("restartPolicy", "Always") == "Always" and not first
    if not state.get("running"):
        return True
    at = instant(ended.get("finishedAt"))
    recent = at is not None and (facts.now - at).total_seconds() < LATELY_S
    if recent and ended.get("reason") == "OOMKilled":
        return True  # memory is needed again: a run that is well says little within minutes
    again = int(status.get("restartCount") or 0) >= OFTEN and ended.get("exitCode") in SIGNALLED
    if recent and again and _aimed_to_kill(pod, str(status.get("name"))):
        return True  # what a probe ends again and again is ready in between
    return recent and not (condition(pod, "Ready").holds and _survived(facts, status, ended))


def _survived(facts: Facts, status: Body, ended: Body) -> bool:
    """Whether a container that runs again has outlived its last run: a loop is ready now and then as well."""
    since, began, over = (
        instant(part(status, "state", "running").get("startedAt")),
        instant(ended.get("startedAt")),
        instant(ended.get("finishedAt")),
    )
    if since is None or began is None or over is None:
        return True
    lasted_s = (over - began).total_seconds()
    paused_s = min(LONGEST_SURVIVED_S, SURVIVED_S * int(status.get("restartCount") or 1))
    return (facts.now - since).total_seconds() > max(paused_s, TIMES_SURVIVED * lasted_s)


def _clue(facts: Facts, pod: Body, status: Body, ended: Body, *, first: bool) -> Clue:
    name, often = str(status.get("name")), int(status.get("restartCount") or 0)
    code = ended.get("exitCode")
    where = "init container" if first else "container"
    times = f", started again {often} times" if often else ""
    quoted = said(
        pod, f"{where} {name} ended: {ended.get('reason')}, exit code {code}{times}", ended.get("finishedAt")
    )
    facts_of = {"container": name, "exitCode": str(code)}
    killed = [one for one in facts.events(pod) if _PROBE.search(str(one.get("message", "")))]
    if ended.get("reason") == "OOMKilled":
        return _of_memory(facts, pod, status, quoted, strength=0.95)
    if killed and code in {137, 143, 0}:
        return _by_probe(facts, pod, name, killed[-1], quoted)
    if code == KILLED and at_limit(facts, pod, name, instant(ended.get("finishedAt"))):
        # The kernel ended a child, or the node was late: its status says only that it was killed.
        return _of_memory(facts, pod, status, quoted, strength=0.85)
    if code in SIGNALLED and (probe := _aimed_to_kill(pod, name)):
        # The node tells so in an event, which may be late or lost where it has much to tell.
        return _supposed(pod, name, probe, quoted)
    words = last_words(facts, pod, name)
    telling = f": {words.excerpt.partition(': ')[2]}" if words else ""
    pace = restarts_lately(facts, pod, name)
    role: Role = "effect"
    kind = "InitContainerFailed" if first else "ProgramCrashed"
    return Clue(
        kind,
        ref_of(pod),
        f"{where} {name} ends with exit code {code}{telling}",
        (quoted, *((words,) if words else ()), *((measured(pod, pace),) if pace else ())),
        role,
        facts=facts_of | {"telling": "yes" if words else ""},
        strength=0.75 if words else 0.4,
    )


def _of_memory(facts: Facts, pod: Body, status: Body, quoted: Seen, *, strength: float) -> Clue:
    ended = part(status, "state", "terminated") or part(status, "lastState", "terminated")
    name, where = str(status.get("name")), quoted.excerpt.partition(" ended")[0]
    limit = part(container_named(pod, name), "resources", "limits").get("memory", "")
    summary = f"{where} was killed: it needs more memory than its limit of {limit or 'its node'}"
    course = memory_before(facts, pod, name, instant(ended.get("finishedAt")))
    seen = (quoted, measured(pod, course)) if course else (quoted,)
    about = {"container": name, "exitCode": str(ended.get("exitCode")), "limit": str(limit)}
    return Clue("OomKilled", ref_of(pod), summary, seen, facts=about, strength=strength)


def _by_probe(facts: Facts, pod: Body, name: str, event: Body, quoted: Seen) -> Clue:
    found = _PROBE.search(str(event.get("message", "")))
    probe = found[1] if found else "liveness"
    unhealthy = [
        one for one in facts.events(pod) if str(one.get("message", "")).lower().startswith(f"{probe} probe")
    ]
    seen = [quoted, event_said(event, pod), *(event_said(one, pod) for one in unhealthy[-1:])]
    return Clue(
        "KilledByProbe",
        ref_of(pod),
        f"container {name} is killed again and again because its {probe} probe fails",
        tuple(seen),
        "effect",
        facts={"container": name, "probe": probe},
        strength=0.75,
    )


def _aimed_to_kill(pod: Body, name: str) -> str | None:
    container = container_named(pod, name)
    return next((probe for probe in ("liveness", "startup") if part(container, f"{probe}Probe")), None)


def _supposed(pod: Body, name: str, probe: str, quoted: Seen) -> Clue:
    return Clue(
        "KilledByProbe",
        ref_of(pod),
        f"container {name} is killed again and again, as a {probe} probe that fails would do",
        (quoted, said(pod, f"{probe}Probe of {name}: {part(container_named(pod, name), f'{probe}Probe')}")),
        "effect",
        facts={"container": name, "probe": probe},
        strength=0.6,
    )


def last_words(facts: Facts, pod: Body, container: str) -> Seen | None:
    """Return the last line of a container that ended, which tells something; None if it said nothing."""
    logs = [one for one in facts.logs(pod) if one.container == container]
    for log in sorted(logs, key=lambda one: not one.previous):
        lines = [line for line in log.text.splitlines() if line.strip()]
        telling = [line for line in lines[-20:] if _LAST_WORDS.search(line)]
        if telling:
            return log_said(log, telling[-1])
    return None
