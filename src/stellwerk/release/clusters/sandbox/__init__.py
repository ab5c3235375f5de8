"""A cluster that is simulated in this process: for demonstrations, and for tests that need no real one."""
