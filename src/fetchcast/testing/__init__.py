"""Published helpers for testing pipelines: servers, clocks, conformance suites."""
