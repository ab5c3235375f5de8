"""Named secrets: encrypted at rest, never read back, resolved only for those who carry out tasks."""
