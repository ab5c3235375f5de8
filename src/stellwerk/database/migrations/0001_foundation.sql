-- The foundation: settings, counters, locks, the journal, keys, the fleet, and work.
-- One text for both engines, with a few tokens (see migrate.py). Instants are microseconds UTC, booleans 0 and 1, JSON is
-- text.

CREATE TABLE settings_kv (
    name TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL,
    updated_at BIGINT NOT NULL
) {without_rowid};

CREATE TABLE counters (
    name TEXT NOT NULL,
    slot BIGINT NOT NULL,
    n BIGINT NOT NULL,
    PRIMARY KEY (name, slot)
) {without_rowid};

CREATE TABLE locks (
    name TEXT NOT NULL PRIMARY KEY,
    holder TEXT NOT NULL,
    fence BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
) {without_rowid};

CREATE TABLE events (
    {event_position},
    at BIGINT NOT NULL,
    kind TEXT NOT NULL,
    class TEXT NOT NULL,
    group_id TEXT,
    task_id TEXT,
    principal TEXT,
    application TEXT,
    data TEXT NOT NULL
);
CREATE INDEX events_group ON events (group_id{then_position}) WHERE group_id IS NOT NULL;
CREATE INDEX events_task ON events (task_id{then_position}) WHERE task_id IS NOT NULL;

CREATE TABLE api_keys (
    key_id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    secret_hash TEXT NOT NULL,
    scopes TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    last_used_at BIGINT,
    revoked_at BIGINT,
    created_by TEXT NOT NULL
);

CREATE TABLE fleet_groups (
    group_id TEXT NOT NULL PRIMARY KEY,
    joined_through TEXT NOT NULL,
    owner TEXT NOT NULL,
    kind TEXT NOT NULL,
    registered_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);

CREATE TABLE fleet_versions (
    group_id TEXT NOT NULL,
    version TEXT NOT NULL,
    weight BIGINT,
    registered_at BIGINT NOT NULL,
    PRIMARY KEY (group_id, version)
);

CREATE TABLE fleet_instances (
    group_id TEXT NOT NULL,
    instance_id TEXT NOT NULL,
    version TEXT NOT NULL,
    capabilities TEXT NOT NULL,
    services TEXT NOT NULL,
    tags TEXT NOT NULL,
    labels TEXT NOT NULL,
    endpoints TEXT NOT NULL,
    metadata TEXT NOT NULL,
    condition TEXT NOT NULL,
    presence TEXT NOT NULL,
    registered_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    seen_at BIGINT NOT NULL,
    load TEXT NOT NULL,
    health_score DOUBLE PRECISION NOT NULL,
    weight_hint DOUBLE PRECISION NOT NULL,
    succeeded BIGINT NOT NULL,
    failed BIGINT NOT NULL,
    response_ms DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (group_id, instance_id)
);
CREATE INDEX fleet_instances_presence ON fleet_instances (presence, seen_at);

CREATE TABLE task_forms (
    form_id TEXT NOT NULL PRIMARY KEY,
    form TEXT NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE tasks (
    task_id TEXT NOT NULL PRIMARY KEY,
    principal TEXT NOT NULL,
    application TEXT,
    task_type TEXT NOT NULL,
    queue_key TEXT NOT NULL,
    form_id TEXT NOT NULL,
    target_group TEXT,
    priority BIGINT NOT NULL,
    priority_name TEXT NOT NULL,
    rank_at BIGINT NOT NULL,
    state TEXT NOT NULL,
    reason TEXT,
    repeatable BIGINT NOT NULL,
    attempt BIGINT NOT NULL,
    max_attempts BIGINT NOT NULL,
    fence BIGINT NOT NULL,
    submitted_at BIGINT NOT NULL,
    not_before BIGINT,
    delayed BIGINT NOT NULL,
    deadline_at BIGINT,
    timeout_us BIGINT,
    leased_at BIGINT,
    started_at BIGINT,
    finished_at BIGINT,
    lease_expires_at BIGINT,
    cancel_requested_at BIGINT,
    holder_group TEXT,
    holder_instance TEXT,
    progress DOUBLE PRECISION,
    progress_note TEXT
);
CREATE INDEX tasks_ready ON tasks (queue_key, rank_at, task_id) WHERE state = 'queued' AND delayed = 0;
CREATE INDEX tasks_due ON tasks (not_before) WHERE state = 'queued' AND delayed = 1;
-- A task has a lease_expires_at exactly while somebody holds it. Lists of states (IN) in the conditions would cost SQLite
-- a temporary table for every written row: measured, they doubled the cost of an update.
CREATE INDEX tasks_lease ON tasks (lease_expires_at) WHERE lease_expires_at IS NOT NULL;
CREATE INDEX tasks_holder ON tasks (holder_group, holder_instance)
    WHERE holder_group IS NOT NULL AND finished_at IS NULL;
CREATE INDEX tasks_deadline ON tasks (deadline_at) WHERE deadline_at IS NOT NULL AND finished_at IS NULL;
CREATE INDEX tasks_recent ON tasks (submitted_at, task_id);
-- Only what waits or has ended: the few that are held are found by their leases, and change their state most often.
CREATE INDEX tasks_state ON tasks (state, submitted_at, task_id) WHERE lease_expires_at IS NULL;
CREATE INDEX tasks_stopping ON tasks (submitted_at) WHERE state = 'cancelling';
CREATE INDEX tasks_finished ON tasks (finished_at) WHERE finished_at IS NOT NULL;

CREATE TABLE task_payloads (
    task_id TEXT NOT NULL PRIMARY KEY,
    task_data TEXT NOT NULL,
    requirements TEXT NOT NULL,
    body_hash TEXT NOT NULL,
    preferred TEXT
);

CREATE TABLE task_results (
    task_id TEXT NOT NULL PRIMARY KEY,
    result TEXT,
    error TEXT,
    result_hash TEXT NOT NULL
);

CREATE TABLE task_logs (
    task_id TEXT NOT NULL,
    attempt BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    at BIGINT NOT NULL,
    level TEXT NOT NULL,
    line TEXT NOT NULL,
    PRIMARY KEY (task_id, attempt, seq)
) {without_rowid};

CREATE TABLE idempotency_keys (
    scope TEXT NOT NULL,
    key TEXT NOT NULL,
    task_id TEXT NOT NULL,
    body_hash TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (scope, key)
) {without_rowid};
CREATE INDEX idempotency_keys_age ON idempotency_keys (created_at);
