"""A bundle, read: which object is what to which other. Pure, and the ground of analyzers and links."""
