"""Values of the subjects as the interface shows them."""

from collections.abc import Mapping, Sequence
from typing import Any

from stellwerk import __version__
from stellwerk.fleet.model import AgentView, InstanceView
from stellwerk.http.instants import iso, iso_or_none
from stellwerk.interfaces.connector import wire
from stellwerk.traffic.execution import Options, VersionStanding
from stellwerk.traffic.restart import Restart, RestartState
from stellwerk.trust.connectors.capabilities import coded, documented
from stellwerk.trust.connectors.tokens import ConnectorToken, NewConnectorToken

TEAM = "default"
HIDDEN = frozenset({"reasoners", "skills", "team_id", "group_id"})
"""Parts of the registered metadata that have fields of their own."""


def documented_manifest(token: ConnectorToken) -> wire.DocumentedManifest:
    """Say what a token may, as the documented list."""
    return wire.DocumentedManifest(
        connector_enabled=True,
        control_plane_version=__version__,
        name=token.name,
        capabilities=documented(token.capabilities),
        agents=_sorted(token.agents),
        expires_at=iso_or_none(token.expires_at),
    )


def coded_manifest(token: ConnectorToken) -> wire.CodedManifest:
    """Say what a token may, as the coded map."""
    standings = coded(token.capabilities)
    return wire.CodedManifest(
        connector_enabled=True,
        control_plane_version=__version__,
        name=token.name,
        capabilities={
            name: wire.Standing(enabled=enabled, read_only=read_only)
            for name, (enabled, read_only) in standings.items()
        },
        features=wire.Features(),
        agents=_sorted(token.agents),
        expires_at=iso_or_none(token.expires_at),
    )


def version_row(one: VersionStanding) -> wire.VersionRow:
    """Show how a version stands."""
    return wire.VersionRow(**_version(one))


def version_detail(view: AgentView, one: VersionStanding) -> wire.VersionDetail:
    """Show a version with its functions."""
    newest = newest_of(view, one.version)
    return wire.VersionDetail(
        **_version(one),
        id=view.group,
        group_id=_text(newest, "group_id", view.group),
        team_id=team_of(view),
        reasoners=_functions(newest, "reasoners"),
        skills=_functions(newest, "skills"),
    )


def reasoner_row(view: AgentView, one: VersionStanding, options: Options) -> wire.ReasonerRow:
    """Show a version of an agent among all."""
    return wire.ReasonerRow(**_row(view, one, options))


def node_row(view: AgentView, one: VersionStanding, options: Options) -> wire.NodeRow:
    """Show a version of an agent as a node."""
    return wire.NodeRow(id=view.group, **_row(view, one, options))


def reasoner_detail(
    view: AgentView, versions: Sequence[VersionStanding], options: Options
) -> wire.ReasonerDetail:
    """Show an agent."""
    leading = leading_of(versions)
    newest = newest_of(view, leading.version)
    return wire.ReasonerDetail(
        id=view.group,
        group_id=_text(newest, "group_id", view.group),
        team_id=team_of(view),
        version=leading.version,
        health_status=leading.health_status,
        lifecycle_status=leading.lifecycle_status,
        base_url=_first(leading.base_urls),
        reasoners=_functions(newest, "reasoners"),
        skills=_functions(newest, "skills"),
        versions=[version_row(one) for one in versions],
        metadata=_metadata(newest, options),
        sticky=options.sticky,
        concurrency=options.concurrency,
        supervisor=None if options.supervisor is None else dict(options.supervisor),
    )


def node_status(view: AgentView, versions: Sequence[VersionStanding]) -> wire.NodeStatus:
    """Show in short how an agent stands."""
    leading = leading_of(versions)
    return wire.NodeStatus(
        id=view.group,
        group_id=view.group,
        health_status=leading.health_status,
        lifecycle_status=leading.lifecycle_status,
        version=leading.version,
    )


def group_row(view: AgentView) -> wire.GroupRow:
    """Show an agent as a group of nodes."""
    versions = [one.version for one in view.versions]
    return wire.GroupRow(
        group_id=view.group, team_id=team_of(view), node_count=len(versions), versions=versions
    )


def shares(versions: Sequence[VersionStanding]) -> dict[str, float]:
    """Show what of the calls each version gets."""
    return {one.version: one.share_percent for one in versions}


def restart(one: Restart) -> wire.RestartShown:
    """Show a restart."""
    done = one.state is RestartState.RESTARTED
    return wire.RestartShown(
        success=done or one.state is RestartState.REQUESTED,
        id=one.group,
        version=one.version,
        restart_id=one.restart_id,
        state=one.state.value,
        detail=one.detail,
        requested_at=iso(one.requested_at),
        restarted_at=iso_or_none(one.finished_at if done else None),
        finished_at=iso_or_none(one.finished_at),
        instances=[
            wire.RestartStep(
                version=step.version,
                instance_id=step.instance,
                replaced_by=step.replaced_by,
                task_id=step.task_id,
            )
            for step in one.steps
        ],
    )


def token(record: ConnectorToken) -> wire.ShownToken:
    """Show a token without its secret."""
    return wire.ShownToken(**_token(record))


def created_token(new: NewConnectorToken) -> wire.CreatedToken:
    """Show a new token, this once with its text."""
    return wire.CreatedToken(**_token(new.record), token=new.token)


def team_of(view: AgentView) -> str:
    """Name the team of an agent, as it registered."""
    return _text(view.instances[0] if view.instances else None, "team_id", TEAM)


def leading_of(versions: Sequence[VersionStanding]) -> VersionStanding:
    """Choose the version that speaks for an agent: it gets most calls, then it can be called, then it is
    the newest."""
    return max(
        versions, key=lambda one: (one.share_percent, one.health_status == "active", one.registered_at)
    )


def newest_of(view: AgentView, version: str) -> InstanceView | None:
    """Find the newest instance of a version."""
    return next((one for one in view.instances if one.version == version), None)


def _row(view: AgentView, one: VersionStanding, options: Options) -> dict[str, Any]:
    newest = newest_of(view, one.version)
    return {
        **_version(one),
        "node_id": view.group,
        "group_id": _text(newest, "group_id", view.group),
        "team_id": team_of(view),
        "metadata": _metadata(newest, options),
        "reasoners": _functions(newest, "reasoners"),
        "skills": _functions(newest, "skills"),
    }


def _version(one: VersionStanding) -> dict[str, Any]:
    figures = one.figures
    return {
        "version": one.version,
        "traffic_weight": one.weight,
        "share_percent": one.share_percent,
        "health_status": one.health_status,
        "lifecycle_status": one.lifecycle_status,
        "base_url": _first(one.base_urls),
        "base_urls": list(one.base_urls),
        "last_heartbeat": iso_or_none(one.last_heartbeat),
        "registered_at": iso(one.registered_at),
        "instances": list(one.instances),
        "running": one.running,
        "figures": wire.Figures(
            window_s=figures.window_s,
            calls=figures.calls,
            errors=figures.errors,
            p50_ms=figures.p50_ms,
            p95_ms=figures.p95_ms,
            p99_ms=figures.p99_ms,
        ),
    }


def _token(record: ConnectorToken) -> dict[str, Any]:
    return {
        "token_id": record.token_id,
        "name": record.name,
        "capabilities": documented(record.capabilities),
        "agents": _sorted(record.agents),
        "created_at": iso(record.created_at),
        "created_by": record.created_by,
        "expires_at": iso_or_none(record.expires_at),
        "last_used_at": iso_or_none(record.last_used_at),
        "revoked_at": iso_or_none(record.revoked_at),
    }


def _metadata(newest: InstanceView | None, options: Options) -> dict[str, Any]:
    registered: Mapping[str, object] = {} if newest is None else newest.metadata
    return {**{name: value for name, value in registered.items() if name not in HIDDEN}, **options.metadata}


def _functions(newest: InstanceView | None, kind: str) -> list[dict[str, Any]]:
    found = None if newest is None else newest.metadata.get(kind)
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _text(newest: InstanceView | None, name: str, otherwise: str) -> str:
    value = None if newest is None else newest.metadata.get(name)
    return value if isinstance(value, str) and value else otherwise


def _first(urls: Sequence[str]) -> str:
    return urls[0] if urls else ""


def _sorted(names: frozenset[str] | None) -> list[str] | None:
    return None if names is None else sorted(names)
