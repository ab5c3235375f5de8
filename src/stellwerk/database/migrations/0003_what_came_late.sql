-- What an agent reported after its task had been given up, and what its token lets it be able to do.

CREATE TABLE late_results (
    task_id TEXT NOT NULL PRIMARY KEY,
    attempt BIGINT NOT NULL,
    received_at BIGINT NOT NULL,
    outcome TEXT NOT NULL
){without_rowid};

ALTER TABLE deployment_agents ADD COLUMN token_capabilities TEXT;
UPDATE deployment_agents SET token_capabilities = (
    SELECT registration_tokens.capabilities FROM registration_tokens
    WHERE registration_tokens.token_id = deployment_agents.token_id);
