"""The SQL of deployment agents."""

import msgspec

from stellwerk.database.unit import PerEngine, Row, Sql, Unit, Value
from stellwerk.fleet.deployment.record import DeploymentAgent, Reported, Target

_COLUMNS = """
agent_id, name, version, allowed_capabilities, labels, targets, log_level, max_tasks, draining, reported,
session_id, token_id, registered_at, updated_at, deleted_at, token_capabilities"""
_INSERT = f"""
INSERT INTO deployment_agents ({_COLUMNS})
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
ON CONFLICT DO NOTHING RETURNING agent_id"""
_UPDATE = """
UPDATE deployment_agents SET name = $2, version = $3, allowed_capabilities = $4, labels = $5, targets = $6,
    log_level = $7, max_tasks = $8, draining = $9, reported = $10, session_id = $11, token_id = $12,
    registered_at = $13, updated_at = $14, deleted_at = $15, token_capabilities = $16
WHERE agent_id = $1"""
_READ = f"SELECT {_COLUMNS} FROM deployment_agents WHERE agent_id = $1"
_LOCKED = PerEngine(_READ, f"{_READ} FOR UPDATE")
_NAMED = f"SELECT {_COLUMNS} FROM deployment_agents WHERE name = $1 AND deleted_at IS NULL"
_ALL = f"SELECT {_COLUMNS} FROM deployment_agents WHERE deleted_at IS NULL"

_labels = msgspec.json.Decoder(dict[str, str])
_words = msgspec.json.Decoder(tuple[str, ...])
_targets = msgspec.json.Decoder(tuple[Target, ...])
_reported = msgspec.json.Decoder(Reported)


def insert(agent: DeploymentAgent) -> Unit[bool]:
    """Add an agent; False if its name is taken."""
    return bool((yield Sql(_INSERT, _values(agent))))


def update(agent: DeploymentAgent) -> Unit[None]:
    """Write an agent whose row is locked."""
    yield Sql(_UPDATE, _values(agent))


def read(agent_id: str, *, lock: bool = False) -> Unit[DeploymentAgent | None]:
    """Return an agent, removed ones too; with `lock` nobody else changes it in the meantime."""
    rows = yield Sql(_LOCKED if lock else _READ, (agent_id,))
    return _agent(rows[0]) if rows else None


def read_named(name: str) -> Unit[DeploymentAgent | None]:
    """Return the agent that has the name now."""
    rows = yield Sql(_NAMED, (name,))
    return _agent(rows[0]) if rows else None


def read_all() -> Unit[list[DeploymentAgent]]:
    """Return every agent that was not removed."""
    return [_agent(row) for row in (yield Sql(_ALL))]


def _values(agent: DeploymentAgent) -> tuple[Value, ...]:
    return (
        agent.agent_id,
        agent.name,
        agent.version,
        _json(agent.allowed_capabilities),
        _json(agent.labels),
        _json(agent.targets),
        agent.log_level,
        agent.max_tasks,
        int(agent.draining),
        _json(agent.reported),
        agent.session_id,
        agent.token_id,
        agent.registered_at,
        agent.updated_at,
        agent.deleted_at,
        None if agent.token_capabilities is None else _json(agent.token_capabilities),
    )


def _agent(row: Row) -> DeploymentAgent:
    return DeploymentAgent(
        agent_id=row[0],
        name=row[1],
        version=row[2],
        allowed_capabilities=_words.decode(row[3]),
        labels=_labels.decode(row[4]),
        targets=_targets.decode(row[5]),
        log_level=row[6],
        max_tasks=row[7],
        draining=bool(row[8]),
        reported=_reported.decode(row[9]),
        session_id=row[10],
        token_id=row[11],
        registered_at=row[12],
        updated_at=row[13],
        deleted_at=row[14],
        token_capabilities=None if row[15] is None else _words.decode(row[15]),
    )


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
