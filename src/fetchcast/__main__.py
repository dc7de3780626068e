"""``python -m fetchcast`` and the ``fetchcast`` command."""

from __future__ import annotations

from fetchcast.cli.main import main

__all__ = ["main"]

if __name__ == "__main__":
    main()
