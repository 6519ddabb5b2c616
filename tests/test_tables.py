"""What users may rely on in the CSV tables: what is written is read, and errors name the line."""

import csv
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field

from framemix.datasets.clips import Clip
from framemix.errors import DatasetError
from framemix.tables import Row, read_table, write_json, write_table


class Fruit(Row):
    """A table of three kinds of columns."""

    kind: str = Field(alias="class")
    weight: float
    ripe: bool = False


# No lone surrogates: UTF-8 has none.
letters = st.characters(exclude_categories=["Cs"])
texts = st.text(letters, max_size=20) | st.text(st.sampled_from("'=+-@\t\r\n,x"), max_size=4)
fruits = st.lists(
    st.builds(Fruit, kind=texts, weight=st.floats(allow_nan=False), ripe=st.booleans()), max_size=5
)


@given(rows=fruits)
@settings(deadline=None)
def test_rows_are_read_as_they_were_written(tmp_path_factory, rows):
    path = tmp_path_factory.getbasetemp() / "fruits.csv"
    write_table(path, Fruit, rows)
    assert read_table(path, Fruit) == rows


@pytest.mark.parametrize("begin", ["=", "+", "-", "@", "\t", "\r", "'=", "''-"])
def test_no_text_begins_like_a_formula_of_a_spreadsheet(tmp_path, begin):
    rows = [Fruit(kind=f"{begin}cmd|' /C calc'!A0", weight=-0.5)]
    write_table(tmp_path / "t.csv", Fruit, rows)
    with (tmp_path / "t.csv").open(newline="", encoding="utf-8") as file:
        _, (kind, weight, _) = csv.reader(file)
    assert (kind, weight) == (f"'{rows[0].kind}", "-0.5")
    assert read_table(tmp_path / "t.csv", Fruit) == rows


def test_a_table_is_plain_utf_8_csv_with_a_header(tmp_path):
    write_table(tmp_path / "t.csv", Fruit, [Fruit(kind="Apfel, süß", weight=0.5, ripe=True)])
    assert (
        tmp_path / "t.csv"
    ).read_bytes() == 'class,weight,ripe\n"Apfel, süß",0.5,True\n'.encode()


def test_the_datasets_tables_have_the_columns_that_others_rely_on(tmp_path):
    columns = (
        "video,class,group,subset,start,end,frames,seconds,width,height,fps,reader,kept,reason"
    )
    write_table(tmp_path / "t.csv", Clip, [])
    assert (tmp_path / "t.csv").read_text() == columns + "\n"
    assert read_table(tmp_path / "t.csv", Clip) == []


def test_what_is_not_known_of_a_clip_is_an_empty_cell_or_0(tmp_path):
    clips = [Clip(video="a/b.avi", class_name="a"), Clip(video="c", class_name="", start=0, end=2)]
    write_table(tmp_path / "t.csv", Clip, clips)
    _, first, second = (tmp_path / "t.csv").read_text().splitlines()
    assert first == "a/b.avi,a,,,,,0,0.0,0,0,0.0,,False,"
    assert second == "c,,,,0.0,2.0,0,0.0,0,0,0.0,,False,"
    assert read_table(tmp_path / "t.csv", Clip) == clips


def test_a_subset_that_does_not_exist_is_named_with_those_that_do(tmp_path):
    write_table(tmp_path / "t.csv", Clip, [Clip(video="a", class_name="b", subset="val")])
    text = (tmp_path / "t.csv").read_text()
    (tmp_path / "t.csv").write_text(text.replace(",val,", ",dev,"))
    with pytest.raises(DatasetError, match=r"t\.csv:2: subset = 'dev': allowed: .*train.*val"):
        read_table(tmp_path / "t.csv", Clip)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "class,weight,ripe\nA,1,True\n\nB,heavy,True\n",
            "t.csv:4: weight = 'heavy': allowed: a number",
        ),
        (
            "class,ripe\nA,True\n",
            "t.csv:1: columns 'class,ripe'; allowed: 'class,weight,ripe'",
        ),
        (
            "class,weight,ripe,class\nA,1,True,B\n",
            "t.csv:1: columns 'class,weight,ripe,class'; allowed: 'class,weight,ripe'",
        ),
        (
            "\ufeffclass;weight;ripe\nA;1;True\n",
            "t.csv:1: columns '\\ufeffclass;weight;ripe'; allowed: 'class,weight,ripe'",
        ),
        ("", "t.csv:1: columns ''; allowed: 'class,weight,ripe'"),
        ("class,weight,ripe\nA\n", "t.csv:2: too few cells; allowed: one for each column"),
        (
            "class,weight,ripe\nA,1,True,9\n",
            "t.csv:2: too many cells; allowed: one for each column",
        ),
    ],
)
def test_a_bad_field_is_named_by_file_line_and_column(tmp_path, text, message):
    (tmp_path / "t.csv").write_text(text, encoding="utf-8")
    with pytest.raises(DatasetError) as caught:
        read_table(tmp_path / "t.csv", Fruit)
    assert str(caught.value) == f"{tmp_path}/{message}"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("class,weight,ripe\nsüß,1,True\n".encode("latin1"), "t.csv: no table in UTF-8: .* 0xfc"),
        (b"class,weight,ripe\n" + b"A" * 200_000, "t.csv: no table in UTF-8: field larger"),
    ],
)
def test_what_is_no_csv_in_utf_8_is_one_line(tmp_path, content, message):
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(DatasetError, match=message) as caught:
        read_table(tmp_path / "t.csv", Fruit)
    assert "\n" not in str(caught.value)


def test_a_missing_table_says_what_to_do(tmp_path):
    with pytest.raises(DatasetError, match=r"none\.csv: no such table; run the stage"):
        read_table(tmp_path / "none.csv", Fruit)


def test_a_table_that_could_not_be_finished_leaves_the_old_one(tmp_path):
    path = tmp_path / "t.csv"
    write_table(path, Fruit, [Fruit(kind="old", weight=1)])
    before = path.read_bytes()

    def rows():
        yield Fruit(kind="new", weight=2)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_table(path, Fruit, rows())
    assert path.read_bytes() == before


def test_json_is_indented_and_keeps_letters(tmp_path):
    write_json(tmp_path / "m.json", {"class": "süß", "top1": 0.5, "none": None})
    text = (tmp_path / "m.json").read_text(encoding="utf-8")
    assert text == '{\n  "class": "süß",\n  "top1": 0.5,\n  "none": null\n}\n'
    assert json.loads(text)["top1"] == 0.5
    assert [path.name for path in tmp_path.iterdir()] == ["m.json"]


def test_other_programs_read_the_table(tmp_path: Path):
    write_table(tmp_path / "t.csv", Fruit, [Fruit(kind='a "b"\nc', weight=1)])
    with (tmp_path / "t.csv").open(newline="", encoding="utf-8") as file:
        assert list(csv.DictReader(file)) == [
            {"class": 'a "b"\nc', "weight": "1.0", "ripe": "False"}
        ]
