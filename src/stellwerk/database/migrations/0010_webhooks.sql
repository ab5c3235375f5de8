-- Who is told of the ends of executions. What was said (address, secret, headers) is sealed.

CREATE TABLE execution_webhooks (
    task_id TEXT NOT NULL PRIMARY KEY,
    hook_id TEXT NOT NULL,
    sealed {bytes} NOT NULL,
    state TEXT NOT NULL,
    due_at BIGINT,
    attempts BIGINT NOT NULL,
    last_status BIGINT,
    last_error TEXT,
    created_at BIGINT NOT NULL,
    settled_at BIGINT
);
CREATE INDEX execution_webhooks_due ON execution_webhooks (due_at) WHERE state = 'due';
CREATE INDEX execution_webhooks_waiting ON execution_webhooks (task_id) WHERE state = 'waiting';
