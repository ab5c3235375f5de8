"""Tasks: the queue, who may take what, leases, retries, results."""
