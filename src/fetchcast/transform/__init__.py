"""SHAPE: landed answers become typed rows, and everything that does not fit becomes a reject."""

from fetchcast.transform.accounting import Accounting
from fetchcast.transform.options import ColumnOptions, TableOptions
from fetchcast.transform.shaper import Shaped, Shaper

__all__ = ["Accounting", "ColumnOptions", "Shaped", "Shaper", "TableOptions"]
