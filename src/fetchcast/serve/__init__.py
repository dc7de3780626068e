"""SHOW: the answer first, then the reasons."""
