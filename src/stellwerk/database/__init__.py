"""Everything durable: engines for SQLite and PostgreSQL, units of work, migrations, named locks."""
