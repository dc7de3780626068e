"""SHAPE: landed answers become typed columns, or rejects with a reason."""
