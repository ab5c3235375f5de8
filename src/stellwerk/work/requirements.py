"""What a task asks of its holder, reduced to a canonical form.

Many tasks share few forms. Matching looks at forms, never at tasks, so its cost does not grow with what
waits. A task for one named agent has a queue of its own (`form@group`), looked up by the agent's id.
"""

import hashlib

import msgspec

ANY = "any"
"""Id of the form that asks nothing."""
DELIVERED = "delivered"
"""Stands for the form of tasks that are delivered by whoever submits them: nobody can claim them."""


class Requirements(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """The known requirements, as parsed by an interface.

    Unknown ones stay in the raw text and are not matched.
    """

    agent_type: str | None = None
    capabilities: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    labels: dict[str, str] = {}
    min_health_score: float | None = None
    agent: str | None = None
    """Group that alone may take the task."""
    certified: bool = False
    """Whether only a holder with a certificate may take it: the task carries credentials."""


class Form(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """The canonical part of requirements that matching needs.

    Sorted, without repetition, without the named agent.
    """

    agent_type: str | None = None
    capabilities: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    min_health_score: float | None = None
    certified: bool = False


NO_FORM = Form()
_FORMS = msgspec.json.Decoder(Form)


def reduce_to_form(requirements: Requirements) -> Form:
    """Return the canonical form: two requirements that mean the same have equal forms."""
    minimum = requirements.min_health_score
    return Form(
        agent_type=requirements.agent_type or None,
        capabilities=tuple(sorted(set(requirements.capabilities))),
        services=tuple(sorted(set(requirements.services))),
        labels=tuple(sorted(requirements.labels.items())),
        min_health_score=float(minimum) if minimum is not None and minimum > 0 else None,
        certified=requirements.certified,
    )


def write_form(form: Form) -> str:
    """Return the canonical JSON text of a form."""
    return msgspec.json.encode(form).decode()


def read_form(text: str) -> Form:
    """Return the form that `write_form` wrote."""
    return _FORMS.decode(text)


def form_id_of(form: Form) -> str:
    """Return the id of a form.

    `any` for the empty one, else the first 16 hex digits of SHA-256 of its text.
    """
    if form == NO_FORM:
        return ANY
    return hashlib.sha256(msgspec.json.encode(form)).hexdigest()[:16]


def queue_key_of(form_id: str, group: str | None) -> str:
    """Return the queue of a form, or the one that a named group has for it."""
    return form_id if group is None else f"{form_id}@{group}"


def split_queue_key(queue_key: str) -> tuple[str, str | None]:
    """Return the form id and the named group (None for a queue that many may take from)."""
    form_id, at, group = queue_key.partition("@")
    return form_id, group if at else None
