"""What `stellwerk demo` runs: its worker functions, its processes, its tasks and figures, its view."""
