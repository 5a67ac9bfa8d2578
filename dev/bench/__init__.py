"""Quality on path-traced truth, and speed beside a baseline of the same run."""
