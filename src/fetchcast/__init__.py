"""Turns an API's calls into a table, a forecast, and a page that answers a question."""
