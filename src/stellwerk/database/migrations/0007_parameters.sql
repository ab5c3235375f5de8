-- Parameters of deployed applications: every version of every instance; the last one holds.

CREATE TABLE parameter_versions (
    application TEXT NOT NULL,
    instance TEXT NOT NULL,
    version BIGINT NOT NULL,
    spec TEXT,
    action TEXT NOT NULL,
    changed_at BIGINT NOT NULL,
    changed_by TEXT NOT NULL,
    why TEXT NOT NULL,
    restored BIGINT,
    PRIMARY KEY (application, instance, version)
);
