"""Values that look like secrets are masked; names, addresses and everything else stay.

What is masked is decided by what a value is called, by its form (keys, tokens, PEM) and by where it stands
(the password of a URL). An address, a name of an object or a path is evidence, and no secret.

Texts come from anybody, so no pattern may try every start against every end: a name or a scheme begins at a
literal or is bounded, and what is unbounded excludes what ends it.
"""

import re
from typing import Any

from stellwerk.release.conditions import part
from stellwerk.release.objects import Body

MASK = "[masked]"
LONGEST_TEXT = 16_384
"""Characters of one text of an object that are kept: the longest message of a status, and no file."""

_NAME = (
    r"(?:[\w.-]*[_.-])?(?:pass(?:wd|word|phrase)?|pwd|secret|token|credentials?|api[-_.]?key|access[-_.]?key"
    r"|private[-_.]?key|signing[-_.]?key|client[-_.]?secret)(?:[_.-]?(?:key|value|hash))?"
)
_NAMED = re.compile(rf"(?:{_NAME})\Z", re.IGNORECASE)
_ASSIGNED = re.compile(
    rf"(?P<name>(?<![\w./-]){_NAME})(?P<between>[\"']?\s*(?:=|:(?!//))\s*)"
    r"(?P<value>\"[^\"\n]{1,400}\"|'[^'\n]{1,400}'|[^\s\"',;&)}\]]{3,400})",
    re.IGNORECASE,
)
_FORMS = (
    re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL),
    re.compile(r"\beyJ[\w-]{8,600}\.[\w-]{8,}\.[\w-]*"),
    re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"),
    re.compile(r"\b(?:gh[pousr]_\w{30,}|glpat-[\w-]{18,}|xox[abpr]-[\w-]{10,}|sk-[\w-]{20,})"),
)
_AUTHORIZATION = re.compile(r"(?P<scheme>\b(?:Bearer|Basic)\s+)[\w+/=.~-]{8,}", re.IGNORECASE)
_USER_INFO = re.compile(r"(?P<before>://[^\s:/@\"']*:)[^\s@/\"']+(?P<after>@)")
_PLAIN = re.compile(
    r"(?:true|false|null|none|yes|no|on|off|is|was|not|for|from|required|missing|invalid|expired|\d{1,4}"
    r"|/[\w./-]+|\$\(?\{?\w+\)?\}?|\[masked\])\Z",
    re.IGNORECASE,
)
"""Values that are words of a sentence, switches, paths or references, and never a secret."""


def mask_text(text: str) -> str:
    """Mask what looks like a secret in a text."""
    for form in _FORMS:
        text = form.sub(MASK, text)
    text = _AUTHORIZATION.sub(rf"\g<scheme>{MASK}", text)
    text = _USER_INFO.sub(rf"\g<before>{MASK}\g<after>", text)
    return _ASSIGNED.sub(_assigned, text)


def mask_named(name: str, value: str) -> str:
    """Mask a value by what it is called, and what looks like a secret within."""
    if _NAMED.match(name) and not _PLAIN.match(value.strip()) and "://" not in value:
        return MASK
    return mask_text(value)


def masked(body: Body) -> Body:
    """Return an object with its texts masked; what has nothing to mask is shared with the original."""
    kind = body.get("kind")
    if kind == "ConfigMap":
        data = {name: mask_named(name, str(value)) for name, value in part(body, "data").items()}
        return {name: value for name, value in body.items() if name != "binaryData"} | {"data": data}
    if kind in {"Endpoints", "Node", "ReplicaSet"} and not part(body, "spec"):
        return body
    cleaned: Body = _walk(body)
    return cleaned


def _walk(value: Any) -> Any:
    if isinstance(value, str):
        return _shortened(mask_text(value)) if len(value) > 7 else value
    if isinstance(value, list):
        return [_walk(one) for one in value]
    if not isinstance(value, dict):
        return value
    if set(value) == {"name", "value"} and isinstance(value["value"], str):  # a variable
        return {"name": value["name"], "value": mask_named(str(value["name"]), value["value"])}
    return {name: _walk(one) for name, one in value.items()}


def _shortened(text: str) -> str:
    """Cut what is masked already: half a secret would not be found."""
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}… ({len(text)} characters)"


def _assigned(match: re.Match[str]) -> str:
    value = match["value"].strip("\"'")
    if _PLAIN.match(value) or match["name"].lower().endswith(("secretname", "tokenname")):
        return match[0]
    return f"{match['name']}{match['between']}{MASK}"
