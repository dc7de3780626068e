"""A client against an API with limits, in virtual time; a quiet simulated hour takes a second."""
