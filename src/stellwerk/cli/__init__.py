"""The command line. All but `serve`, `worker` and `demo` speak HTTP to a running control plane."""
