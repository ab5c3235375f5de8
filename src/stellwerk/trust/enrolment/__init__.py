"""Registration tokens: what admits a deployment agent, once."""
