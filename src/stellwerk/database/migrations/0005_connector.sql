-- The connector: its tokens, and the restarts that it asked for.

CREATE TABLE connector_tokens (
    token_id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    secret_hash TEXT NOT NULL,
    capabilities TEXT NOT NULL,
    agents TEXT,
    created_at BIGINT NOT NULL,
    created_by TEXT NOT NULL,
    expires_at BIGINT,
    last_used_at BIGINT,
    revoked_at BIGINT
);

CREATE TABLE restarts (
    restart_id TEXT NOT NULL PRIMARY KEY,
    group_id TEXT NOT NULL,
    version TEXT,
    state TEXT NOT NULL,
    detail TEXT,
    steps TEXT NOT NULL,
    known TEXT NOT NULL,
    requested_by TEXT NOT NULL,
    requested_at BIGINT NOT NULL,
    deadline_at BIGINT NOT NULL,
    finished_at BIGINT,
    revision BIGINT NOT NULL
);
CREATE INDEX restarts_group ON restarts (group_id, requested_at);
CREATE UNIQUE INDEX restarts_open ON restarts (group_id) WHERE finished_at IS NULL;
