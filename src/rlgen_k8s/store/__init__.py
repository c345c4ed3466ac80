"""Results: their addresses, their manifests, and their publication exactly once; in a folder or on S3."""
