"""Reads bodies that are no JSON as if they were: NDJSON, CSV, XML, and what is packed. Pure.

What is kept of an answer is the body as it came; it is read in this way whenever it is judged or
shaped. One body may be many documents (the members of a ZIP file, portions of a long table): each
is JSON, and none is larger than it must be.
"""

from fetchcast.formats.counting import counter
from fetchcast.formats.options import BrokenFormat, CsvOptions, Format, XmlOptions
from fetchcast.formats.reading import documents

__all__ = ["BrokenFormat", "CsvOptions", "Format", "XmlOptions", "counter", "documents"]
