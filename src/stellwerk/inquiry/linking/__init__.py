"""The causal step: clues become chains from what was noticed to what has to change."""
