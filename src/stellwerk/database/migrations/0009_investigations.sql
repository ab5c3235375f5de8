-- Investigations: durable sessions, and their evidence beside them.

CREATE TABLE investigations (
    session_id TEXT NOT NULL PRIMARY KEY,
    state TEXT NOT NULL,
    principal TEXT NOT NULL,
    target TEXT NOT NULL,
    cause_key TEXT,
    requested_at BIGINT NOT NULL,
    finished_at BIGINT,
    record TEXT NOT NULL,
    evidence {bytes}
);
CREATE INDEX investigations_open ON investigations (requested_at) WHERE finished_at IS NULL;
CREATE INDEX investigations_ended ON investigations (finished_at);
CREATE INDEX investigations_target ON investigations (target, requested_at);
CREATE INDEX investigations_newest ON investigations (requested_at);
CREATE INDEX investigations_cause ON investigations (cause_key, requested_at) WHERE cause_key IS NOT NULL;
