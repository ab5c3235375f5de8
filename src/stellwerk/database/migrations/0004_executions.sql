-- Executions of agents' functions: tasks that are sent to an instance, with what their callers said. And what operators
-- said about agents whose traffic we route.

CREATE TABLE executions (
    task_id TEXT NOT NULL PRIMARY KEY,
    run_id TEXT NOT NULL,
    parent_id TEXT,
    session_id TEXT,
    actor_id TEXT,
    caller TEXT,
    group_id TEXT NOT NULL,
    function TEXT NOT NULL,
    kind TEXT NOT NULL,
    pin TEXT,
    headers TEXT NOT NULL,
    version TEXT,
    accepted_at BIGINT
);

CREATE TABLE traffic_options (
    group_id TEXT NOT NULL PRIMARY KEY,
    sticky BIGINT NOT NULL,
    concurrency BIGINT,
    supervisor TEXT,
    metadata TEXT NOT NULL,
    updated_at BIGINT NOT NULL,
    updated_by TEXT NOT NULL
);

-- The few instances that are dialled report every other second, and are missed in seconds.
ALTER TABLE fleet_instances ADD COLUMN dialled BIGINT NOT NULL DEFAULT 0;
CREATE INDEX fleet_instances_dialled ON fleet_instances (presence, seen_at) WHERE dialled = 1;
