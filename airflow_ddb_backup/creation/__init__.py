"""Creating: one backup per run, whatever is lost, killed or retried."""
