"""Who carries remedies out: releases, bounded patches, deployment agents, traffic."""
