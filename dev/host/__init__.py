"""The host: set up, started, talked to."""
