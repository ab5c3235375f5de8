"""The fleet: groups, versions and instances; joining, presence, discovery, health."""
