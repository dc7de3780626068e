"""The reference APIs on loopback, from recorded answers."""
