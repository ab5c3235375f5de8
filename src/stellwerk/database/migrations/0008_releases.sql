-- Releases: operations on application instances, what they rendered, what they own, and the revisions that they left.

CREATE TABLE release_operations (
    operation_id TEXT NOT NULL PRIMARY KEY,
    application TEXT NOT NULL,
    instance TEXT NOT NULL,
    state TEXT NOT NULL,
    requested_at BIGINT NOT NULL,
    finished_at BIGINT,
    cancelled_by TEXT,
    contents TEXT NOT NULL,
    record TEXT NOT NULL,
    parameters {bytes}
);
CREATE INDEX release_operations_open ON release_operations (requested_at) WHERE finished_at IS NULL;
CREATE INDEX release_operations_instance ON release_operations (application, instance, requested_at);

-- What a service was rendered to, sealed; revisions and operations that rendered the same share it.
CREATE TABLE release_contents (
    application TEXT NOT NULL,
    instance TEXT NOT NULL,
    service TEXT NOT NULL,
    hash TEXT NOT NULL,
    sealed {bytes} NOT NULL,
    PRIMARY KEY (application, instance, service, hash)
);

CREATE TABLE release_revisions (
    application TEXT NOT NULL,
    instance TEXT NOT NULL,
    revision BIGINT NOT NULL,
    operation_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    result TEXT NOT NULL,
    recorded_at BIGINT NOT NULL,
    recorded_by TEXT NOT NULL,
    note TEXT NOT NULL,
    contents TEXT NOT NULL,
    parameters {bytes},
    PRIMARY KEY (application, instance, revision)
);

-- The copy of each inventory; the other one is in the cluster, and the one with the higher serial holds.
CREATE TABLE release_inventories (
    application TEXT NOT NULL,
    instance TEXT NOT NULL,
    namespace TEXT NOT NULL,
    serial BIGINT NOT NULL,
    entries TEXT NOT NULL,
    PRIMARY KEY (application, instance)
);
