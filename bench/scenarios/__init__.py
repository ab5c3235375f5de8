"""The suite of faults: each is made on a real cluster, investigated without a model, and scored."""
