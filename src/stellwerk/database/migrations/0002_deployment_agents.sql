-- Deployment agents: what admits them, their certificates, and the secrets that their tasks refer to.

CREATE TABLE registration_tokens (
    token_id TEXT NOT NULL PRIMARY KEY,
    token_hash TEXT NOT NULL UNIQUE,
    name TEXT,
    capabilities TEXT,
    labels TEXT NOT NULL,
    replaces TEXT,
    created_at BIGINT NOT NULL,
    created_by TEXT NOT NULL,
    expires_at BIGINT NOT NULL,
    revoked_at BIGINT,
    used_at BIGINT,
    used_by TEXT,
    key_hash TEXT
);
CREATE INDEX registration_tokens_end ON registration_tokens (expires_at);

CREATE TABLE deployment_agents (
    agent_id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    version TEXT NOT NULL,
    allowed_capabilities TEXT NOT NULL,
    labels TEXT NOT NULL,
    targets TEXT NOT NULL,
    log_level TEXT NOT NULL,
    max_tasks BIGINT,
    draining BIGINT NOT NULL,
    reported TEXT NOT NULL,
    session_id TEXT,
    token_id TEXT NOT NULL,
    registered_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    deleted_at BIGINT
);
CREATE UNIQUE INDEX deployment_agents_name ON deployment_agents (name) WHERE deleted_at IS NULL;

CREATE TABLE certificates (
    serial TEXT NOT NULL PRIMARY KEY,
    root TEXT NOT NULL,
    agent_id TEXT NOT NULL,
    key_hash TEXT NOT NULL,
    thumbprint TEXT,
    state TEXT NOT NULL,
    pem TEXT,
    not_before BIGINT NOT NULL,
    not_after BIGINT NOT NULL,
    intended_at BIGINT NOT NULL,
    activated_at BIGINT,
    superseded_at BIGINT,
    revoked_at BIGINT,
    reason TEXT,
    cloned_at BIGINT,
    changed_at BIGINT NOT NULL
);
CREATE INDEX certificates_agent ON certificates (agent_id, not_after);
CREATE INDEX certificates_end ON certificates (not_after);
CREATE INDEX certificates_change ON certificates (changed_at);

CREATE TABLE secrets (
    name TEXT NOT NULL PRIMARY KEY,
    version BIGINT NOT NULL,
    sealed {bytes} NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    updated_by TEXT NOT NULL
);
