"""Bodies that are no JSON, read as if they were: dialects, damage, bombs."""

import gzip
import io
import json
import tracemalloc
import zipfile
from typing import Any

import pytest

from fetchcast.extract.rules import row_counter
from fetchcast.formats import BrokenFormat, CsvOptions, Format, XmlOptions, counter, documents


def read(body: bytes, name: str, **options: Any) -> list[Any]:
    form = Format(name=name, **options)  # type: ignore[arg-type]
    return [json.loads(document) for document in documents(body, form)]


def rows(body: bytes, name: str = "csv", **csv: Any) -> list[Any]:
    (found,) = read(body, name, csv=CsvOptions(**csv)) or [[]]
    return found


def zipped(members: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return packed.getvalue()


def test_json_is_itself() -> None:
    body = b"[1]"
    assert next(documents(body, Format())) is body
    count = row_counter(None)
    assert counter(Format(), count) is count


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":1}\n{"a":2}\n',
        b'{"a":1}\r\n\r\n  {"a":2}',
        b'\x1e{"a":1}\n\x1e{"a":2}\n',
        b'\xef\xbb\xbf{"a":1}\n{"a":2}'[3:],
    ],
)
def test_ndjson_is_an_array_of_its_lines(body: bytes) -> None:
    assert read(body, "ndjson") == [[{"a": 1}, {"a": 2}]]


def test_a_line_that_is_no_json_harms_no_other() -> None:
    body = b'{"a":1}\n{"a":NaN}\n{"a"\n{"a":2}\n'
    found = list(documents(body, Format(name="ndjson")))
    assert found == [b'[{"a":NaN}]', b'[{"a"]', b'[{"a":1},{"a":2}]']


def test_a_long_table_is_many_documents() -> None:
    body = b"\n".join(b'{"n":%d}' % n for n in range(400_000))
    sizes = [len(document) for document in documents(body, Format(name="ndjson"))]
    assert len(sizes) > 3
    assert max(sizes) < 1.5 * 2**20
    table = b"n,text\n" + b"".join(b"%d,abcdefgh\n" % n for n in range(200_000))
    found = [json.loads(document) for document in documents(table, Format(name="csv"))]
    assert len(found) > 2
    assert [row["n"] for part in found for row in part] == list(range(200_000))


@pytest.mark.parametrize(
    ("body", "options", "expected"),
    [
        (b"a,b\n1,x\n", {}, [{"a": 1, "b": "x"}]),
        (b"a;b\n1,5;x\n", {"decimal": ","}, [{"a": 1.5, "b": "x"}]),
        (b"a\tb\r\n1\tx\r\n", {}, [{"a": 1, "b": "x"}]),
        (b"a|b\n1|x", {}, [{"a": 1, "b": "x"}]),
        (b'"a, b";"c"\n1;2\n', {}, [{"a, b": 1, "c": 2}]),
        (b"\xef\xbb\xbfa\n1\n", {}, [{"a": 1}]),
        (b'a\n"two\nlines"\n', {}, [{"a": "two\nlines"}]),
        (b'a\n"say ""hi"""\n', {}, [{"a": 'say "hi"'}]),
        # A column is numbers if each of its cells is one; texts keep the form they have.
        (b"a,b\n007,1\n8,2\n", {}, [{"a": "007", "b": 1}, {"a": "8", "b": 2}]),
        (b"a\n1.50\n2\n", {}, [{"a": 1.5}, {"a": 2}]),
        (b"a\n1.50\nn/a\n", {}, [{"a": "1.50"}, {"a": "n/a"}]),
        (b"a\n1.50\n", {"numbers": False}, [{"a": "1.50"}]),
        (b"a,b\n,x\n1,\n", {}, [{"a": None, "b": "x"}, {"a": 1, "b": None}]),
        # Nothing is dropped: cells without a name, names that come twice, short rows.
        (b"a,b\n1,2,3\n", {}, [{"a": 1, "b": 2, "column_3": 3}]),
        (b"a,a,\n1,2,3\n", {}, [{"a": 1, "a_2": 2, "column_3": 3}]),
        (b"a,b\n1\n", {}, [{"a": 1, "b": None}]),
        (b"1,2\n3,4\n", {"names": ["x", "y"]}, [{"x": 1, "y": 2}, {"x": 3, "y": 4}]),
        (b"title\n\n# note\na\n1\n", {"skip": 2, "comment": "#"}, [{"a": 1}]),
        (b"a , b\n 1 , x \n", {"strip": True}, [{"a": 1, "b": "x"}]),
        (b"a\n'x,y'\n", {"quote": "'"}, [{"a": "x,y"}]),
        (b"a\n1e400\n-0.5\n", {}, None),
        (b"", {}, []),
        (b"a,b\n", {}, []),
    ],
)
def test_csv(body: bytes, options: dict[str, Any], expected: list[Any] | None) -> None:
    if expected is None:
        (document,) = documents(body, Format(name="csv"))
        assert document == b'[{"a":1e400},{"a":-0.5}]', "numbers keep their digits"
    else:
        assert rows(body, **options) == expected


def test_tsv_has_no_quotes_unless_said() -> None:
    body = b'code\ttext\n101\t"Oy" x\n'
    assert rows(body, "tsv") == [{"code": 101, "text": '"Oy" x'}]
    assert rows(b'a\n"b\tc"\n', "tsv", quote='"') == [{"a": "b\tc"}]


def test_a_charset_is_said_or_utf_8() -> None:
    body = "nimi\nKäpylä\n".encode("windows-1252")
    assert read(body, "csv", charset="windows-1252") == [[{"nimi": "Käpylä"}]]
    with pytest.raises(BrokenFormat, match=r"not utf-8 .*windows-1252"):
        read(body, "csv")
    assert read('["ä"]'.encode("latin-1"), "json", charset="latin-1") == [["ä"]]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"<r><a>1</a><b/></r>", {"r": {"a": "1", "b": None}}),
        (b"<r><a>1</a><a>2</a></r>", {"r": {"a": ["1", "2"]}}),
        (b'<r id="7">text</r>', {"r": {"@id": "7", "#text": "text"}}),
        (b"<r> <a> x </a> </r>", {"r": {"a": "x"}}),
        (b"<p>one<b>two</b>three</p>", {"p": {"b": "two", "#text": "one three"}}),
        (b'<x:r xmlns:x="u"><x:a x:k="v"/></x:r>', {"r": {"a": {"@k": "v"}}}),
        (b'<r xmlns:x="u" x:k="1" k="2"/>', {"r": {"@k": "2", "@u:k": "1"}}),
        (b"<r><![CDATA[a < b]]>&amp;&#228;</r>", {"r": "a < b&ä"}),
        ('<?xml version="1.0" encoding="latin-1"?><r>ä</r>'.encode("latin-1"), {"r": "ä"}),
        ("\ufeff<r>ä</r>".encode(), {"r": "ä"}),
        (b"<!-- c --><?pi x?><!DOCTYPE r><r>1</r>", {"r": "1"}),
    ],
)
def test_xml(body: bytes, expected: Any) -> None:
    assert read(body, "xml") == [expected]


def test_an_element_that_repeats_is_an_array_even_where_it_does_not() -> None:
    body = b"<r><a>1</a></r>"
    assert read(body, "xml", xml=XmlOptions(arrays=("a",))) == [{"r": {"a": ["1"]}}]


BOMB = b"""<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "aaaaaaaaaa">
<!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;">
<!ENTITY d "&c;&c;&c;&c;&c;&c;&c;&c;&c;&c;"><!ENTITY e "&d;&d;&d;&d;&d;&d;&d;&d;&d;&d;">
]><l>&e;&e;&e;&e;&e;&e;&e;&e;&e;&e;</l>"""
FILE = b'<!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/passwd">]><r>&x;</r>'
PARAMETER = b'<!DOCTYPE r [<!ENTITY % x SYSTEM "http://127.0.0.1:1/x.dtd"> %x;]><r/>'


@pytest.mark.parametrize("body", [BOMB, FILE, PARAMETER])
def test_entities_are_refused(body: bytes) -> None:
    with pytest.raises(BrokenFormat, match="declares entities") as refused:
        read(body, "xml")
    assert refused.value.final


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"<r><a></r>", "not XML: mismatched tag"),
        (b"<r>", "not XML: no element found"),
        (b"<a>" * 5000, "nested more than 200 deep"),
        (b"<!DOCTYPE html><html></html>", "HTML instead of XML"),
        (b'<?xml version="1.0" encoding="nobody-knows"?><r/>', "not XML"),
        (b"{}", "not XML"),
    ],
)
def test_what_is_not_xml_says_so(body: bytes, said: str) -> None:
    with pytest.raises(BrokenFormat, match=said):
        read(body, "xml")


def test_members_of_a_zip_come_one_by_one() -> None:
    body = zipped(
        {"2024/01.json": b'[{"d":1}]', "readme.txt": b"hello", "02.json": b'\xef\xbb\xbf[{"d":2}]'}
    )
    assert read(body, "zip", members="*.json") == [[{"d": 1}], [{"d": 2}]]
    assert read(zipped({"a.csv": b"n\n1\n"}), "zip", inner="csv") == [[{"n": 1}]]
    count = counter(Format(name="zip", members="*.json"), row_counter(None))
    assert count(body) == 2
    assert count(zipped({"empty.json": b""})) == 0


def test_a_zip_that_cannot_be_read_says_why() -> None:
    body = zipped({"a.json": b"[" + b"1," * 5000 + b"1]"})
    for damaged, said in (
        (body[:-30], "no ZIP file, or not all of it"),
        (body[:50] + b"\xff" * 4 + body[54:], "damaged"),
        (b"[1]", "no ZIP file"),
    ):
        with pytest.raises(BrokenFormat, match=said):
            read(damaged, "zip")
    with pytest.raises(BrokenFormat, match=r"there are: a.json"):
        read(body, "zip", members="*.csv")


def test_bombs_are_defused_in_little_memory() -> None:
    body = zipped({f"{n}.json": b" " * 30_000_000 for n in range(20)})
    packed = gzip.compress(b" " * 600_000_000, 9)
    tracemalloc.start()
    try:
        with pytest.raises(BrokenFormat, match="more than max_unpacked_bytes"):
            for _ in documents(body, Format(name="zip", max_unpacked_bytes=50_000_000)):
                pass
        with pytest.raises(BrokenFormat, match="more than max_unpacked_bytes"):
            read(packed, "gzip", max_unpacked_bytes=50_000_000)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 160_000_000


def test_gzip() -> None:
    body = gzip.compress(b'{"a":1}\n{"a":2}\n')
    assert read(body, "gzip", inner="ndjson") == [[{"a": 1}, {"a": 2}]]
    assert read(body + gzip.compress(b'{"a":3}'), "gzip", inner="ndjson")[0][-1] == {"a": 3}
    assert read(b"[1]", "gzip") == [[1]], "who sent it has unpacked it already"
    for damaged in (body[:-9], body[:-4] + b"\0\0\0\0"):
        with pytest.raises(BrokenFormat):
            read(damaged, "gzip")


def test_rows_are_counted_in_every_format() -> None:
    lines = counter(Format(name="ndjson"), row_counter("[*]"))
    assert (lines(b'{"a":1}\n{"a":2}'), lines(b"\n")) == (2, 0)
    assert lines(b'{"a":1}\n{"a"\n{"a":2}') == 3
    with pytest.raises(BrokenFormat, match="last line"):
        lines(b'{"a":1}\n{"a":')
    table = counter(Format(name="csv"), row_counter("[*]"))
    assert (table(b"a,b\n1,2\n3,4\n"), table(b"a,b\n")) == (2, 0)
    xml = counter(Format(name="xml", xml=XmlOptions(arrays=("a",))), row_counter("r.a[*]"))
    assert (xml(b"<r><a/></r>"), xml(b"<r><b/></r>")) == (1, None)
    assert counter(Format(name="gzip"), row_counter("[*]"))(gzip.compress(b"[1,2]")) == 2
