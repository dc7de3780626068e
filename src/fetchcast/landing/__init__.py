"""KEEP: every answer, durably, the moment it has arrived."""
