"""A one-node Kubernetes for development, run as processes of this machine."""
