-- Events of deployments are read newest first, and are few among those of tasks.

CREATE INDEX events_deploy ON events (application{then_position}) WHERE substr(kind, 1, 7) = 'deploy.';
