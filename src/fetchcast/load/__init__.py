"""STORE: rows into databases and files, in bulk, whole loads only."""
