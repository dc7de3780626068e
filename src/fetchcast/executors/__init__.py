"""WHERE work runs."""
