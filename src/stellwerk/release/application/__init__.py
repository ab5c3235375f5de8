"""An application: a folder of services, each a folder of manifests, and what is said about them."""
