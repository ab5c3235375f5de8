-- Remedies of investigations, and workflows that were added to the catalogue.

CREATE TABLE remedies (
    remedy_id TEXT NOT NULL PRIMARY KEY,
    session_id TEXT NOT NULL,
    workflow_id TEXT NOT NULL,
    cause TEXT NOT NULL,
    target TEXT NOT NULL,
    state TEXT NOT NULL,
    requested_at BIGINT NOT NULL,
    finished_at BIGINT,
    record TEXT NOT NULL
);
CREATE INDEX remedies_session ON remedies (session_id);
CREATE INDEX remedies_open ON remedies (requested_at) WHERE finished_at IS NULL;
CREATE INDEX remedies_cause ON remedies (cause, requested_at);
-- One at a time for a target: two would be judged by each other's effect.
CREATE UNIQUE INDEX remedies_target ON remedies (target) WHERE finished_at IS NULL;

CREATE TABLE remedy_workflows (
    workflow_id TEXT NOT NULL PRIMARY KEY,
    changed_at BIGINT NOT NULL,
    changed_by TEXT NOT NULL,
    record TEXT NOT NULL
);
