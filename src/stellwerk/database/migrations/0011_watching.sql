-- Watching what is deployed: what was told about it, so that it is told once, over restarts and replicas.

-- The trouble of an object as it was told last; a row goes when the object is well again. `object` is a key as JSON.
CREATE TABLE release_troubles (
    application TEXT NOT NULL,
    instance TEXT NOT NULL,
    object TEXT NOT NULL,
    service TEXT NOT NULL,
    code TEXT NOT NULL,
    message TEXT NOT NULL,
    since BIGINT NOT NULL,
    PRIMARY KEY (application, instance, object)
);

-- Every trouble that a service had, by object and code.
CREATE TABLE release_errors (
    application TEXT NOT NULL,
    instance TEXT NOT NULL,
    service TEXT NOT NULL,
    object TEXT NOT NULL,
    code TEXT NOT NULL,
    message TEXT NOT NULL,
    first_at BIGINT NOT NULL,
    last_at BIGINT NOT NULL,
    times BIGINT NOT NULL,
    PRIMARY KEY (application, instance, service, object, code)
);

-- Warnings of the cluster that are in the journal, by the cluster's own name for each.
CREATE TABLE release_warnings (
    application TEXT NOT NULL,
    instance TEXT NOT NULL,
    uid TEXT NOT NULL,
    recorded_at BIGINT NOT NULL,
    PRIMARY KEY (application, instance, uid)
);
CREATE INDEX release_warnings_age ON release_warnings (recorded_at);

-- Objects that are not as they were applied.
CREATE TABLE release_drifts (
    application TEXT NOT NULL,
    instance TEXT NOT NULL,
    object TEXT NOT NULL,
    service TEXT NOT NULL,
    drift TEXT NOT NULL,
    seen_at BIGINT NOT NULL,
    PRIMARY KEY (application, instance, object)
);

-- What the reconciler did about a service, and whether it may.
CREATE TABLE release_reconciling (
    application TEXT NOT NULL,
    instance TEXT NOT NULL,
    service TEXT NOT NULL,
    paused_at BIGINT,
    paused_by TEXT,
    why TEXT,
    repairs BIGINT NOT NULL,
    repaired_at BIGINT,
    looked_at BIGINT,
    PRIMARY KEY (application, instance, service)
);
