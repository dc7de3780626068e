"""Who we are to an API: what is added to a call when it leaves, and kept nowhere."""
