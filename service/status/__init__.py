"""The status page: what waits for what and why; read-only."""
