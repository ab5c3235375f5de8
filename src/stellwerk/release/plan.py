"""The plan of an operation: what is done to which object, decided before anything is done.

A pure rule over what is wanted, what is there, what the inventory says, and the results of dry runs. Its
promise is that nothing is touched which the request does not name, or which is not ours:
- what exists but is not ours is a conflict (a namespace is shared instead, and never removed by us),
- what belongs to another of our services is a conflict as long as that service is not named,
- only what the inventory has, of the services named, is removed, and only if the object in the cluster still
  says that it is ours, or is known by its uid,
- what is annotated to be kept stays; volumes, namespaces and definitions of kinds go only when asked for.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from stellwerk.release.comparing import FieldChange, changes, covers_object
from stellwerk.release.inventory import Entry, Inventory
from stellwerk.release.objects import Body, Key, Manifest
from stellwerk.release.order import Rank, flattened, for_removal, rank_of
from stellwerk.release.ownership import PROTECTED_NAMESPACES, Identity, is_kept, marked, owner_of
from stellwerk.release.waves import hook_of, waves


class Action(StrEnum):
    """What is done to an object."""

    CREATE = "create"
    UPDATE = "update"
    UNCHANGED = "unchanged"
    DELETE = "delete"
    KEEP = "keep"
    CONFLICT = "conflict"
    """It is somebody else's; the operation is refused."""
    REFUSED = "refused"
    """The cluster would not take it; the operation is refused."""
    UNVERIFIED = "unverified"
    """It is created, but could not be tried: it needs a namespace or kind that is created before it."""


WRITES: Final = frozenset({Action.CREATE, Action.UPDATE, Action.UNVERIFIED})
OBSTACLES: Final = frozenset({Action.CONFLICT, Action.REFUSED})


class NotVisible:
    """Stands for an object that we may write and not read."""


NOT_VISIBLE: Final = NotVisible()
Live = Body | NotVisible | None
"""An object as it is; None if there is none."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What a dry run of applying an object gave; with nothing set, it could not be run."""

    result: Body | None = None
    """As the object would be; with conflicts, as it would be by force."""
    conflicts: tuple[tuple[str, str], ...] = ()
    """Who owns which field that would change."""
    refusal: str | None = None


@dataclass(frozen=True, slots=True)
class Scope:
    """What a request names and asks for."""

    identity: Identity
    services: frozenset[str]
    force: bool = False
    """Take over what others own."""
    prune: bool = True
    """Remove what the services named no longer describe."""
    volumes: bool = False
    namespaces: bool = False
    definitions: bool = False
    """Remove these kinds as well: what is stored in them goes with them."""


@dataclass(frozen=True, slots=True)
class Step:
    """What is done to one object."""

    action: Action
    key: Key
    service: str
    manifest: Manifest | None = None
    """None for what is removed or kept."""
    changes: tuple[FieldChange, ...] = ()
    message: str = ""
    """Why, where that is not plain."""
    owner: str | None = None
    """Of the fields, or of the object, that we would change or take over."""
    adopted: bool = False
    """Whether it is there already, and shared."""
    uid: str = ""
    """Of the object that is removed; nothing else is."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What an operation does, in order."""

    waves: tuple[tuple[Step, ...], ...] = ()
    """What is applied; one after the other, each when the one before is healthy."""
    removals: tuple[tuple[Step, ...], ...] = ()
    """What is removed, or kept though it is no longer described; after everything is applied."""
    forgotten: tuple[Key, ...] = ()
    """What the inventory has and the cluster has no more, or no longer as ours."""

    @property
    def steps(self) -> tuple[Step, ...]:
        """Return all steps, in order."""
        return tuple(flattened([*self.waves, *self.removals]))

    @property
    def obstacles(self) -> tuple[Step, ...]:
        """Return what stands in the way; while there is any, nothing is done."""
        return tuple(step for step in self.steps if step.action in OBSTACLES)

    @property
    def writes(self) -> tuple[Step, ...]:
        """Return what would be applied."""
        return tuple(step for step in self.steps if step.action in WRITES)


@dataclass(frozen=True, slots=True)
class Known:
    """What a plan is made of, beside what is wanted."""

    live: Mapping[Key, Live]
    """Of all that is wanted, and all that the inventory has of the services named."""
    inventory: Inventory
    trials: Mapping[Key, Trial] = field(default_factory=dict)
    missing_kinds: frozenset[tuple[str, str]] = frozenset()
    """Group and kind of what the cluster does not serve."""
    elsewhere: frozenset[Key] = frozenset()
    """What services that are not named describe; never removed."""


def plan(
    wanted: Sequence[Manifest], known: Known, scope: Scope, depends_on: Mapping[str, Sequence[str]]
) -> Plan:
    """Decide what is done. Without anything wanted, that is the removal of the services named."""
    prepared = _Prepared(wanted)
    applied = tuple(
        tuple(_decide(manifest, known, scope, prepared) for manifest in wave)
        for wave in waves(wanted, depends_on)
    )
    gone: list[Key] = []
    removals: dict[Key, Step] = {}
    for key, entry in known.inventory.of(scope.services).items():
        if key in prepared.keys:
            continue
        live = known.live.get(key)
        if live is None or _is_foreign(key, entry, live, scope.identity):
            gone.append(key)
        else:
            removals[key] = _remove(key, entry, live, known, scope)
    ordered = tuple(tuple(removals[key] for key in step) for step in for_removal(removals))
    return Plan(applied, ordered, tuple(gone))


def to_try(wanted: Sequence[Manifest], known: Known, scope: Scope, *, new: bool) -> list[Manifest]:
    """Return what a dry run has to decide: what may differ from what is there and, if asked, what is new."""
    prepared = _Prepared(wanted)
    return [
        manifest
        for manifest in wanted
        if hook_of(manifest) is None
        and not prepared.depends(manifest, known)
        and not _obstacle(manifest, known, scope)
        and _needs_trial(manifest, known, scope, new)
    ]


class _Prepared:
    """What an operation itself makes possible."""

    def __init__(self, wanted: Sequence[Manifest]) -> None:
        self.keys = frozenset(manifest.key for manifest in wanted)
        self.kinds = frozenset(
            filter(None, map(_defined, (one for one in wanted if rank_of(one.key) is Rank.DEFINITION)))
        )

    def depends(self, manifest: Manifest, known: Known) -> str:
        """Return what an object waits for that this operation creates; empty if nothing."""
        key = manifest.key
        if (key.group, key.kind) in known.missing_kinds & self.kinds:
            return f"its kind {key.kind} is created first"
        namespace = Key("", "Namespace", key.namespace)
        if key.namespace and namespace in self.keys and known.live.get(namespace) is None:
            return f"its namespace {key.namespace} is created first"
        return ""


def _defined(manifest: Manifest) -> tuple[str, str] | None:
    spec = manifest.body.get("spec") or {}
    kind = (spec.get("names") or {}).get("kind")
    return (spec.get("group", ""), kind) if kind else None


def _needs_trial(manifest: Manifest, known: Known, scope: Scope, new: bool) -> bool:
    live = known.live.get(manifest.key)
    if live is None:
        return new and (manifest.key.group, manifest.key.kind) not in known.missing_kinds
    return not _is_unchanged(manifest, live, known, scope)


def _is_unchanged(manifest: Manifest, live: Live, known: Known, scope: Scope) -> bool:
    """Tell whether an object surely is as it is wanted: it was applied so, and nobody changed that since."""
    entry = known.inventory.entries.get(manifest.key)
    if entry is None or entry.hash != manifest.hash or entry.service != manifest.service:
        return False
    if isinstance(live, NotVisible):
        return True
    return live is not None and covers_object(to_apply(manifest, known, scope), live)


def to_apply(manifest: Manifest, known: Known, scope: Scope) -> Body:
    """Return what is sent to the cluster: the object with our marks, unless it is shared."""
    if _is_shared(manifest, known, scope):
        return manifest.body
    return marked(manifest.body, scope.identity, manifest.service)


def _decide(manifest: Manifest, known: Known, scope: Scope, prepared: _Prepared) -> Step:
    live, trial = known.live.get(manifest.key), known.trials.get(manifest.key, Trial())
    obstacle = _obstacle(manifest, known, scope)
    if obstacle is not None:
        return obstacle
    if live is None:
        return _create(manifest, known, trial, prepared)
    adopted = _is_shared(manifest, known, scope)
    if hook_of(manifest) is not None:
        return _step(Action.UPDATE, manifest, "runs again")
    if isinstance(live, dict) and live["metadata"].get("deletionTimestamp"):
        return _step(Action.CREATE, manifest, "when the one that is being deleted is gone")
    if _is_unchanged(manifest, live, known, scope):
        return _step(Action.UNCHANGED, manifest)
    if trial.refusal is not None:
        return _step(Action.REFUSED, manifest, trial.refusal)
    owner = ", ".join(sorted({owner for owner, _ in trial.conflicts})) or None
    if owner is not None and not scope.force:
        fields = "; ".join(f"{path} is set by {whose}" for whose, path in trial.conflicts)
        return _step(Action.CONFLICT, manifest, fields, owner=owner)
    if isinstance(live, NotVisible) or trial.result is None:
        message = "not visible" if isinstance(live, NotVisible) else ""
        return _step(Action.UPDATE, manifest, message, owner=owner, adopted=adopted)
    found = changes(live, trial.result)
    action = Action.UPDATE if found or owner else Action.UNCHANGED
    return _step(action, manifest, changes=found, owner=owner, adopted=adopted)


def _create(manifest: Manifest, known: Known, trial: Trial, prepared: _Prepared) -> Step:
    reason = prepared.depends(manifest, known)
    if reason:
        return _step(Action.UNVERIFIED, manifest, reason)
    if (manifest.key.group, manifest.key.kind) in known.missing_kinds:
        kind = f"{manifest.api_version} {manifest.key.kind}"
        return _step(Action.REFUSED, manifest, f"the cluster has no kind {kind}; is its definition missing?")
    if trial.refusal is not None:
        return _step(Action.REFUSED, manifest, trial.refusal)
    return _step(Action.CREATE, manifest)


def _obstacle(manifest: Manifest, known: Known, scope: Scope) -> Step | None:
    """Return the step that stands in the way because of whose the object is, or of what it undergoes."""
    key = manifest.key
    live, entry = known.live.get(key), known.inventory.entries.get(key)
    namespace = known.live.get(Key("", "Namespace", key.namespace)) if key.namespace else None
    for one in (live if key.kind == "Namespace" else None, namespace):
        if isinstance(one, dict) and one["metadata"].get("deletionTimestamp"):
            name = one["metadata"]["name"]
            return _step(Action.REFUSED, manifest, f"namespace {name} is being deleted")
    other = _other_service(manifest, live, entry, scope)
    if other is not None:
        message = f"belongs to service {other}, which is not named"
        return _step(Action.CONFLICT, manifest, message, owner=other)
    if not isinstance(live, dict) or scope.force or key.kind == "Namespace":
        return None
    owner = owner_of(live)
    if owner is not None and owner.identity != scope.identity:
        whose = f"{owner.identity.application}/{owner.identity.instance}"
        return _step(Action.CONFLICT, manifest, f"belongs to application {whose}", owner=whose)
    if owner is None and entry is None:
        return _step(Action.CONFLICT, manifest, "exists already, and is not ours", owner=_manager_of(live))
    return None


def _other_service(manifest: Manifest, live: Live, entry: Entry | None, scope: Scope) -> str | None:
    """Return the service that an object belongs to, if that is another of ours and not named."""
    owner = owner_of(live) if isinstance(live, dict) else None
    ours = entry.service if entry else ""
    if owner is not None and owner.identity == scope.identity:
        ours = owner.service
    if live is None or manifest.key.kind == "Namespace" or not ours or ours == manifest.service:
        return None
    return None if ours in scope.services else ours


def _is_shared(manifest: Manifest, known: Known, scope: Scope) -> bool:
    """Tell whether an object was there before us and stays somebody else's: a namespace."""
    entry, live = known.inventory.entries.get(manifest.key), known.live.get(manifest.key)
    if entry is not None or manifest.key.kind != "Namespace" or not isinstance(live, dict):
        return entry is not None and entry.adopted
    owner = owner_of(live)
    return owner is None or owner.identity != scope.identity


def _manager_of(live: Body) -> str | None:
    managers = {field.get("manager") for field in live["metadata"].get("managedFields") or ()}
    return ", ".join(sorted(filter(None, managers))) or None


def _is_foreign(key: Key, entry: Entry, live: Live, identity: Identity) -> bool:
    """Tell whether what the inventory has under a name is an object that is not, or no longer, ours."""
    if not isinstance(live, dict) or entry.adopted:
        return False
    owner = owner_of(live)
    return owner is None or owner.identity != identity


def _remove(key: Key, entry: Entry, live: Live, known: Known, scope: Scope) -> Step:
    reason = _why_kept(key, entry, live, known, scope)
    if reason:
        return Step(Action.KEEP, key, entry.service, message=reason)
    uid = live["metadata"].get("uid", "") if isinstance(live, dict) else entry.uid
    return Step(Action.DELETE, key, entry.service, uid=uid)


def _why_kept(key: Key, entry: Entry, live: Live, known: Known, scope: Scope) -> str:
    if entry.keep or (isinstance(live, dict) and is_kept(live)):
        return "annotated to be kept"
    if entry.adopted:
        return "was there before us"
    if key in known.elsewhere:
        return "another service describes it"
    if isinstance(live, NotVisible) and not entry.uid:
        return "not visible, and not known to be ours"
    if key.kind == "Namespace" and (not scope.namespaces or key.name in PROTECTED_NAMESPACES):
        return "namespaces are removed only when asked for"
    if key.kind in ("PersistentVolumeClaim", "PersistentVolume") and not scope.volumes:
        return "volumes are removed only when asked for"
    if rank_of(key) is Rank.DEFINITION and not scope.definitions:
        return "definitions of kinds are removed only when asked for"
    return "" if scope.prune else "nothing is pruned"


def _step(
    action: Action,
    manifest: Manifest,
    message: str = "",
    *,
    changes: tuple[FieldChange, ...] = (),
    owner: str | None = None,
    adopted: bool = False,
) -> Step:
    return Step(action, manifest.key, manifest.service, manifest, changes, message, owner, adopted)


def noted(made: Plan, known: Known) -> Inventory:
    """Return the inventory as it is written before a plan is carried out.

    It has everything that will be applied, and what needs not be because it is as it should: the next plan
    then knows that without a dry run.
    """
    writes = [step for step in made.writes if step.manifest]
    right = [step for step in made.steps if step.manifest and _is_news(step, known)]
    adopted = {step.key for step in (*writes, *right) if step.adopted}
    manifests = [step.manifest for step in (*writes, *right) if step.manifest]
    done = [(step.manifest, _uid(known.live.get(step.key))) for step in right if step.manifest]
    return known.inventory.intending(manifests, adopted).applied(done)


def _is_news(step: Step, known: Known) -> bool:
    entry, manifest = known.inventory.entries.get(step.key), step.manifest
    if step.action is not Action.UNCHANGED or manifest is None:
        return False
    return entry is None or (entry.hash, entry.service) != (manifest.hash, manifest.service)


def _uid(live: Live) -> str:
    return str(live["metadata"].get("uid", "")) if isinstance(live, dict) else ""
