"""WHAT to ask: parameters, their sources, and the calls they make."""
