"""ASK: send the calls, at the pace the API permits, and lose none."""
