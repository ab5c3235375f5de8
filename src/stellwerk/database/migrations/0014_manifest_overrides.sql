-- Templates that stand in the place of single objects of an application's own. Sealed: one may be a Secret.

CREATE TABLE manifest_overrides (
    application TEXT NOT NULL,
    instance TEXT NOT NULL,
    key TEXT NOT NULL,
    service TEXT NOT NULL,
    sealed {bytes} NOT NULL,
    changed_at BIGINT NOT NULL,
    changed_by TEXT NOT NULL,
    PRIMARY KEY (application, instance, key)
);
