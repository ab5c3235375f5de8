"""Programs that say what is wrong with their settings: a variable, an argument, a file."""

import re
from collections.abc import Iterator

from stellwerk.inquiry.analyzers.clue import Clue
from stellwerk.inquiry.analyzers.complaining import complaints
from stellwerk.inquiry.analyzers.quoting import log_said, said
from stellwerk.inquiry.facts.dependencies import settings_of
from stellwerk.inquiry.facts.facts import Facts
from stellwerk.inquiry.facts.naming import named, ref_of
from stellwerk.inquiry.facts.resemblance import nearest
from stellwerk.inquiry.facts.templates import Setting, container_named, pod_spec
from stellwerk.inquiry.model import LogText, ObjectRef
from stellwerk.release.conditions import condition, entries, part
from stellwerk.release.objects import Body

_VARIABLE = r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+|[A-Z]{3,}"
_UNSET = (
    re.compile(
        rf"\b({_VARIABLE})\b['\"`]?:?,? (?:environment variable )?(?:(?:is|was|must be|has "
        r"not been|are) )?(?:not set|not defined|unset|undefined|missing|required|empty"
        r"|set\b|provided|parameter not set|parameter null or not set)"
    ),
    re.compile(
        rf"(?:missing|required|undefined|unset|no)\b[^\n]{{0,40}}?\b(?:environment |env "
        r")?(?:variables?|var|setting|configuration|config|parameter|key)s?:? "
        rf"['\"`]?({_VARIABLE})\b",
        re.IGNORECASE,
    ),
    re.compile(rf"resolve placeholder ['\"]({_VARIABLE})['\"]"),
    re.compile(rf"KeyError: ['\"]({_VARIABLE})['\"]"),
    re.compile(rf"(?:please|must) (?:set|define|provide)\b[^\n]{{0,20}}?\b({_VARIABLE})\b", re.IGNORECASE),
)
_WRONG = re.compile(
    r"invalid|malformed|cannot parse|could not parse|failed to parse|parse error"
    r"|parsing|unsupported|illegal|unknown|unrecogni[sz]ed|not a (?:valid )?\w+|bad "
    r"(?:value|number|format|config)|out of range|must be|unexpected|syntax",
    re.IGNORECASE,
)
_ARGUMENT = re.compile(
    r"(?:unknown|unrecogni[sz]ed|invalid|illegal|unsupported|bad|unexpected|no such"
    r"|ambiguous)(?: command[- ]?line)? (?:option|argument|flag|command|subcommand"
    r"|parameter|switch)s?\b(?: provided but not defined)?[^\w-]*(-{0,2}[\w=./-]+)?"
    r"|flag provided but not defined: (-{1,2}[\w-]+)|(?:missing|requires?)(?: an?| "
    r"required)? (?:argument|option|flag)",
    re.IGNORECASE,
)
_PATH = re.compile(r"(/(?:[\w.-]+/)*[\w.-]+)")
_FILE_TROUBLE = re.compile(
    r"unknown|emerg|no such file|not found|cannot open|can't open|failed to (?:open|read|load|parse)"
    r"|could not|error|invalid|syntax|parse|malformed|unexpected|missing",
    re.IGNORECASE,
)


def examine(facts: Facts) -> Iterator[Clue]:
    """Find settings that programs complain of."""
    for workload in facts.workloads:
        told: set[str] = set()
        for pod in facts.pods(workload):
            if condition(pod, "Ready").holds:
                continue
            for log, line in complaints(facts, pod):
                clue = _clue(facts, workload, pod, log, line)
                if clue is not None and clue.code not in told:
                    told.add(clue.code)
                    yield clue


def _clue(facts: Facts, workload: Body, pod: Body, log: LogText, line: str) -> Clue | None:
    settings = list(settings_of(facts, workload, log.container))
    return (
        _unset(workload, pod, log, line, settings)
        or _argument(workload, pod, log, line)
        or _file(facts, workload, pod, log, line)
        or _wrong_value(pod, log, line, settings)
    )


def _unset(workload: Body, pod: Body, log: LogText, line: str, settings: list[Setting]) -> Clue | None:
    found = next((match for pattern in _UNSET if (match := pattern.search(line))), None)
    if found is None:
        return None
    name = found[1]
    variables = [one.name for one in settings if one.where.startswith("env")]
    if name in variables and "set" not in line.lower() and "empty" not in line.lower():
        return None
    near = nearest(name, variables)
    blamed = _owner_of_variable(workload, pod, log.container, near, settings)
    hint = f"; {near} is set" if near else ""
    return Clue(
        "EnvironmentMissing",
        ref_of(pod),
        f"container {log.container} needs the variable {name}, which is not set{hint}",
        (
            log_said(log, line),
            said(workload, f"variables of {log.container}: {', '.join(dict.fromkeys(variables)) or 'none'}"),
        ),
        blames=blamed,
        facts={"container": log.container, "variable": name},
        strength=0.9,
    )


def _owner_of_variable(
    workload: Body, pod: Body, container: str, near: str | None, settings: list[Setting]
) -> tuple[ObjectRef, ...]:
    """Return who should have said a variable: the ConfigMap that has nearly this one, else the workload."""
    source = next((one.source for one in settings if near and one.name == near and one.source), None)
    return (named(source[0], ref_of(pod).namespace, source[1]),) if source else ()


def _argument(workload: Body, pod: Body, log: LogText, line: str) -> Clue | None:
    found = _ARGUMENT.search(line)
    container = container_named(workload, log.container)
    words = [str(word) for word in [*(container.get("command") or []), *(container.get("args") or [])]]
    if found is None:
        return None
    word = next((group for group in found.groups() if group), "")
    return Clue(
        "ArgumentsWrong",
        ref_of(pod),
        f"container {log.container} does not take its arguments: {line.strip()[:160]}",
        (
            log_said(log, line),
            said(workload, f"command and args of {log.container}: {' '.join(words)[:200]}"),
        ),
        facts={"container": log.container, "argument": word},
        strength=0.88,
    )


def _file(facts: Facts, workload: Body, pod: Body, log: LogText, line: str) -> Clue | None:
    if not _FILE_TROUBLE.search(line):
        return None
    container = container_named(workload, log.container)
    volumes = {one.get("name"): one for one in entries(pod_spec(workload), "volumes")}
    for path in _PATH.findall(line):
        for mount in entries(container, "volumeMounts"):
            at = str(mount.get("mountPath", "")).rstrip("/")
            if at and (path == at or path.startswith(f"{at}/")):
                holder = _holder(volumes.get(mount.get("name")) or {}, ref_of(pod).namespace)
                if holder is None:
                    continue
                return _file_clue(facts, pod, log, line, path=path, holder=holder)
    return None


def _file_clue(facts: Facts, pod: Body, log: LogText, line: str, *, path: str, holder: ObjectRef) -> Clue:
    absent = re.search(r"no such file|not found|does not exist", line, re.IGNORECASE)
    keys = sorted(part(facts.get(holder) or {}, "data"))
    code, what = (
        ("FileMissing", f"which {holder} does not hold")
        if absent
        else ("FileWrong", f"which comes from {holder}")
    )
    return Clue(
        code,
        ref_of(pod),
        f"container {log.container} cannot use {path}, {what}: {line.strip()[:160]}",
        (
            log_said(log, line),
            *((said(body, f"keys: {', '.join(keys)}"),) if (body := facts.get(holder)) else ()),
        ),
        blames=(holder,),
        facts={"container": log.container, "path": path, "name": holder.name, "kind": holder.kind},
        strength=0.88,
    )


def _holder(volume: Body, namespace: str) -> ObjectRef | None:
    if name := part(volume, "configMap").get("name"):
        return named("ConfigMap", namespace, str(name))
    if name := part(volume, "secret").get("secretName"):
        return named("Secret", namespace, str(name))
    return None


def _wrong_value(pod: Body, log: LogText, line: str, settings: list[Setting]) -> Clue | None:
    if not _WRONG.search(line):
        return None
    for one in settings:
        if not one.where.startswith("env"):
            continue
        names_it = re.search(rf"\b{re.escape(one.name)}\b", line)
        quotes_it = len(one.text) > 2 and re.search(rf"(?<![\w.-]){re.escape(one.text)}(?![\w.-])", line)
        if names_it or quotes_it:
            blamed = (named(one.source[0], ref_of(pod).namespace, one.source[1]),) if one.source else ()
            return Clue(
                "EnvironmentWrong",
                ref_of(pod),
                f"container {log.container} cannot use {one.where} = {one.text[:80]}: {line.strip()[:160]}",
                (log_said(log, line),),
                blames=blamed,
                facts={"container": log.container, "variable": one.name, "value": one.text[:80]},
                strength=0.88,
            )
    return None
