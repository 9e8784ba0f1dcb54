"""What a column holds is found from the whole column: text stays text, and other notations are named with their key."""

from __future__ import annotations

import csv
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble.column_types import column_key
from ensemble.csv_cells import quoted_columns
from ensemble.errors import InputError
from ensemble.reading import Roles, read_file, read_folder
from ensemble.table import Column, Table
from ensemble.written_numbers import written_number

nan = np.nan


def read(folder: Path, cells: list[str], quoting: Any = csv.QUOTE_MINIMAL, **roles: Any) -> Table:
    """Read a CSV file with the cells as its first column, and a second one that varies."""
    path = folder / "table.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, quoting=quoting)
        writer.writerow(["a", "b", "price"])
        writer.writerows([cell, row, row] for row, cell in enumerate(cells))
    return read_file(path, Roles("price", **roles))


def levels(table: Table) -> tuple[str, ...]:
    column = table.columns[0]
    assert column.type == "category"
    return column.levels


def test_a_type_is_that_of_the_whole_column_and_no_library_warns(
    tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    # pandas would read a file of this width in pieces of some ten thousand rows, each with types of its own.
    codes = [*["00100", "100"] * 5000, *["AB1", "AB2"] * 5000]
    flags = [f"f{place}" for place in range(100)]
    text = "\n".join(f"{code},{'0,' * 100}{number % 7}" for number, code in enumerate(codes))
    path = tmp_path / "sorted.csv"
    path.write_text(f"code,{','.join(flags)},price\n{text}\n")
    table = read_file(path, Roles("price", drop=flags[1:]))
    assert levels(table) == ("00100", "100", "AB1", "AB2")
    assert table.features[:, 0].tolist() == [0, 1] * 5000 + [2, 3] * 5000
    assert [str(warning.message) for warning in recwarn] == []


@given(st.permutations(["00100", "100", "", "7", "0"]), st.booleans())
def test_digits_with_zeros_in_front_are_codes(
    tmp_path_factory: pytest.TempPathFactory, cells: list[str], letters: bool
) -> None:
    table = read(tmp_path_factory.mktemp("codes"), [*cells, *["X"] * letters])
    assert levels(table) == tuple(sorted({"00100", "100", "7", "0", *["X"] * letters}))
    assert "dataset.columns.a=number" in table.notes[0] or letters


@pytest.mark.parametrize("cells", [["01.5", "2"], ["-01", "2"], ["0", "10", "0.5"], ["1e01", "02.5"]])
def test_numbers_with_zeros_are_not_codes(cells: list[str], tmp_path: Path) -> None:
    table = read(tmp_path, cells)
    assert table.columns[0] == Column("a")
    assert table.features[:, 0].tolist() == [float(cell) for cell in cells]


def test_numbers_in_quotes_are_text_unless_everything_is_in_quotes(tmp_path: Path) -> None:
    cells = ["12", "7", "12"]
    assert read(tmp_path, cells, csv.QUOTE_ALL).columns[0] == Column("a")
    assert read(tmp_path, cells, csv.QUOTE_NONNUMERIC).columns[0] == Column("a", "category", ("12", "7"))
    assert read(tmp_path, cells, csv.QUOTE_NONNUMERIC, types=(("a", "number"),)).columns[0] == Column("a")
    # Quotes that a cell needs declare nothing, and neither do those of some cells.
    path = tmp_path / "some.csv"
    path.write_text('a,b,price\n"12",1,1\n7,2,2\n')
    assert read_file(path, Roles("price")).columns[0] == Column("a")
    path.write_text('a,b,price\n"12",5" pipe,1\n"7",x,2\n')
    assert read_file(path, Roles("price")).columns[0] == Column("a")
    path.write_text('a,b,price\r\n\r\n"12","x, y\r\nz",1\r\n "7",x,2\r\n\r\n')
    assert read_file(path, Roles("price")).columns[0] == Column("a", "category", ("12", "7"))


QUOTED_CELLS = ["12", "", "a", "x,y", 'say "so"', "two\nlines", " b"]


@given(
    st.integers(2, 4).flatmap(
        lambda width: st.lists(
            st.lists(st.tuples(st.sampled_from(QUOTED_CELLS), st.booleans()), min_size=width, max_size=width),
            min_size=1,
            max_size=5,
        )
    ),
    st.sampled_from(["\n", "\r\n", "\r", "\n\n"]),
    st.booleans(),
)
def test_columns_in_quotes_are_found_as_csv_has_them(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[tuple[str, bool]]], end: str, ended: bool
) -> None:
    def needs(cell: str) -> bool:
        return any(mark in cell for mark in ',"\n')

    lines = [[(cell, quoted or needs(cell)) for cell, quoted in row] for row in rows]
    text = end.join(
        [
            ",".join(f"c{place}" for place in range(len(rows[0]))),
            *(
                ",".join('"' + cell.replace('"', '""') + '"' if quoted else cell for cell, quoted in line)
                for line in lines
            ),
        ]
    )
    path = tmp_path_factory.mktemp("quotes") / "t.csv"
    path.write_bytes((text + end * ended).encode())
    columns = [[(cell, quoted) for cell, quoted in column if cell.strip()] for column in zip(*lines, strict=True)]
    bare = any(not quoted for column in columns for _, quoted in column)
    # A quoted empty cell is no evidence, and neither are quotes that a cell needs.
    expected = {
        place
        for place, column in enumerate(columns)
        if bare
        and column
        and all(quoted for _, quoted in column)
        and any(not any(mark in cell for mark in ",\n") for cell, _ in column)
    }
    assert quoted_columns([path], len(rows[0])) == expected


def test_groups_are_those_of_the_text_in_the_file(tmp_path: Path) -> None:
    table = read(tmp_path, ["00100", "100", "00100", "7"], fold_key="a")
    assert table.fold_keys is not None
    assert table.fold_keys.tolist() == [0, 1, 0, 2]


def test_strings_of_parquet_are_text_and_dates(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    frame = pd.DataFrame(
        {"code": ["12", "7", "NA"], "when": ["2024-01-01", "2024-01-02", None], "price": [1, 2, 3]}, index=[7, 8, 9]
    )
    frame.to_parquet(path)
    table = read_file(path, Roles("price"))
    assert table.names == ("code", "when")
    assert levels(table) == ("12", "7", "NA")
    assert table.columns[1] == Column("when", "date")
    declared = read_file(path, Roles("price", types=(("code", "number"),)))
    assert np.array_equal(declared.features[:, 0], [12, 7, nan], equal_nan=True)
    with_words = read_file(path, Roles("price", missing=("NA",)))
    assert levels(with_words) == ("12", "7")


def test_what_pandas_stores_in_parquet_beside_the_columns_is_ignored(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    frame = pd.DataFrame({"a": ["1.5", "x", "2"], "price": [1, 2, 3]}, index=pd.Index([5, 6, 7], name="when"))
    frame.to_parquet(path)
    assert read_file(path, Roles("price")).names == ("a", "when")
    frame.reset_index(drop=True).set_index(pd.Index([5, 6, 9])).to_parquet(path)
    with pytest.raises(InputError, match="'a' holds text in data row 2: 'x'"):
        read_file(path, Roles("price", types=(("a", "number"),)))
    pd.DataFrame(np.arange(12.0).reshape(4, 3) ** 2).to_parquet(path)
    assert read_file(path, Roles("2")).names == ("0", "1")


def test_codes_that_are_mostly_digits_are_categories(tmp_path: Path) -> None:
    table = read(tmp_path, ["10", "11", "A77", "12", "11"])
    assert levels(table) == ("10", "11", "12", "A77")
    (note,) = table.notes
    assert "4 of 5 cells are numbers, but 'A77' in data row 3 is not" in note
    assert "dataset.columns.a=category" in note
    assert "dataset.missing" in note
    assert read(tmp_path, ["10", "11", "A77"], types=(("a", "category"),)).notes == ()
    with pytest.raises(InputError, match="data row 3: 'A77'"):
        read(tmp_path, ["10", "11", "A77"], types=(("a", "number"),))


@pytest.mark.parametrize("mark", ["-", "?", "n.a.", "#DIV/0!", "unknown", "\u2013"])
@pytest.mark.parametrize("cells", [["1.5", "2"], ["2024-01-01", "2024-01-02"], ["true", "false"]])
def test_a_placeholder_among_numbers_or_dates_is_missing(mark: str, cells: list[str], tmp_path: Path) -> None:
    table = read(tmp_path, [mark, *cells, mark, mark])
    plain = read(tmp_path, ["", *cells, "", ""])
    assert np.array_equal(table.features, plain.features, equal_nan=True)
    assert mark in table.columns[0].missing_texts
    (note,) = table.notes
    assert f"{mark!r} in 3 of 5 cells is read as missing" in note
    assert levels(read(tmp_path, [mark, "x", mark])) == tuple(sorted([mark, "x"]))
    assert read(tmp_path, [mark, *cells, mark], types=(("a", "category"),)).columns[0].levels == tuple(
        sorted([mark, *cells])
    )


def test_the_words_for_missing_are_declared(tmp_path: Path) -> None:
    cells = ["NA", "ZA", "", "BW"]
    table = read(tmp_path, cells)
    assert levels(table) == ("BW", "ZA")
    assert table.notes[0].startswith("a: 'NA' is read as missing. If it is a value: dataset.missing=[]")
    assert levels(read(tmp_path, cells, missing=())) == ("BW", "NA", "ZA")
    assert levels(read(tmp_path, cells, missing=("ZA",))) == ("BW", "NA")
    assert np.array_equal(
        read(tmp_path, ["1", "-999", "3"], missing=("-999",)).features[:, 0], [1, nan, 3], equal_nan=True
    )
    pd.DataFrame({"a": [1, -999, 3], "price": [1, 2, 3]}).to_parquet(tmp_path / "t.parquet")
    parquet = read_file(tmp_path / "t.parquet", Roles("price", missing=("-999",)))
    assert np.array_equal(parquet.features[:, 0], [1, nan, 3], equal_nan=True)
    numbers = read(tmp_path, ["1", "NA", "3"], missing=())
    assert np.array_equal(numbers.features[:, 0], [1, nan, 3], equal_nan=True)
    assert "NA" in numbers.columns[0].missing_texts


NOTATIONS = [
    (["1,250", "980", "2,300"], {"number": [1250, 980, 2300], "decimal_comma": [1.25, 980, 2.3]}),
    (["$1,250", "$980"], {"number": [1250, 980], "decimal_comma": [1.25, 980]}),
    (["1,250.5", "980"], {"number": [1250.5, 980]}),
    (["1.250,5", "980"], {"decimal_comma": [1250.5, 980]}),
    (["1,5", "2,25"], {"decimal_comma": [1.5, 2.25]}),
    (["1,5", "2,250", "3,75"], {"decimal_comma": [1.5, 2.25, 3.75]}),
    (["1,250,000", "2,500"], {"number": [1250000, 2500]}),
    (["12%", "7.5%"], {"number": [0.12, 0.075]}),
    (["12%", "7%"], {"number": [0.12, 0.07]}),
    (["1 250", "980"], {"number": [1250, 980]}),
    (["(1,250.00)", "3.50"], {"number": [-1250, 3.5]}),
    (["€ 1.250,00", "€ 3,50"], {"decimal_comma": [1250, 3.5]}),
    (["1.234.567", "1.250", "980"], {"decimal_comma": [1234567, 1250, 980]}),
]


@pytest.mark.parametrize(("cells", "ways"), NOTATIONS, ids=[cells[0] for cells, _ in NOTATIONS])
def test_numbers_in_another_notation_are_named_with_every_key_that_reads_them(
    cells: list[str], ways: dict[str, list[float]], tmp_path: Path
) -> None:
    table = read(tmp_path, cells)
    assert levels(table) == tuple(sorted(cells))
    (note,) = table.notes
    for declared in ("number", "decimal_comma"):
        assert (f"dataset.columns.a={declared} reads it as" in note) == (declared in ways), note
    for declared, numbers in ways.items():
        found = read(tmp_path, cells, types=(("a", declared),))
        assert found.features[:, 0].tolist() == numbers
        assert found.notes == ()
        example = next(cell for cell in sorted(cells) if repr(cell) in note)
        assert f"a={declared} reads it as {numbers[cells.index(example)]:.15g}" in note


def test_a_notation_that_most_cells_have_is_named_with_those_that_do_not(tmp_path: Path) -> None:
    (note,) = read(tmp_path, ["1,250.5", "2,300.5", "ask"]).notes
    assert "once 'ask' is corrected, or declared as missing with dataset.missing" in note
    (note,) = read(tmp_path, ["$1,250.5", "€2,300.5"]).notes
    assert "convert them to one of $, €" in note
    (note,) = read(tmp_path, ["5%", "8", "12%"]).notes
    assert note == "a: numbers such as '12%' are read as categories; only some have %: write all of them alike"
    assert read(tmp_path, ["a,b", "x", "3,5"]).notes == ()


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        (["31.12.2024", "1.1.2025"], "dates such as '1.1.2025'"),
        (["12/31/24 10:00", "1/2/25 11:00"], "dates such as"),
        (
            ["2024/12/31", "2025/1/1", "x"],
            "dates such as '2024/12/31' are read as categories; write 2024-12-31, or leave",
        ),
        (["31-Dec-2024", "1 Januar 2025"], "dates such as"),
        (["Dec 31, 2024", "Jan. 1, 2025"], "dates such as"),
        (["1 kg", "2.5 kg", "10 kg"], "numbers such as '1 kg' are read as categories; to read numbers, write them wit"),
        (["1k", "2.5M", "10k"], "write them in full"),
        (["20 \xb0C", "21 \xb0C", "22,5 \xb0C"], "without '\xb0C'"),
        (["1A", "2B", "3C"], ""),
        (["10.0.0.1", "10.0.0.2", "10.0.0.3"], ""),
        (["12:30", "13:30", "14:30"], ""),
    ],
)
def test_dates_and_numbers_that_are_not_read_are_named(cells: list[str], words: str, tmp_path: Path) -> None:
    found = read(tmp_path, cells)
    assert found.columns[0].type == "category"
    assert words in " ".join(found.notes)
    assert bool(found.notes) == bool(words)


@pytest.mark.parametrize(
    ("text", "decimal", "number"),
    [
        ("\uff11\uff12.\uff15", ".", 12.5),
        ("\uff0d\uff11\uff12\uff05", ".", -0.12),
        ("\u0661\u0662\u066c\u0663\u0664\u0665\u066b\u0665", ".", 12345.5),
        ("\u0661\u066b\u0665", ",", 1.5),
        ("\u0967\u0968", ".", 12.0),
        ("1,250.5-", ".", -1250.5),
        ("5- \u20ac", ",", -5.0),
        ("25\u2030", ".", 0.025),
    ],
)
def test_digits_of_other_scripts_and_signs_behind_a_number_are_read(text: str, decimal: str, number: float) -> None:
    found = written_number(text, decimal)
    assert found is not None
    assert found[0] == number


@pytest.mark.parametrize("gap", [[], [""], ["-"]])
def test_integers_beyond_64_bits_are_numbers_in_any_order(gap: list[str], tmp_path: Path) -> None:
    cells = ["12345678901234567890", "-5", *gap]
    for quote in ("", '"'):
        kinds = set()
        for order in itertools.permutations(cells):
            text = "".join(f"{quote}{cell}{quote},{row}\n" for row, cell in enumerate(order))
            (tmp_path / "t.csv").write_text(f"a,price\n{text}")
            found = read_file(tmp_path / "t.csv", Roles("price"))
            kinds.add(found.columns)
            if not quote:
                assert np.nansum(found.features) == 12345678901234567890.0 - 5
                assert "''" not in " ".join(found.notes)
        assert len(kinds) == 1


@given(st.integers(-(10**12), 10**12), st.integers(0, 99))
def test_a_number_is_read_back_from_every_notation(whole: int, part: int) -> None:
    number = whole + part / 100 if whole >= 0 else whole - part / 100
    text = f"{number:,.2f}"
    assert written_number(text, ".") == (float(f"{number:.2f}"), "")
    other = text.translate(str.maketrans(",.", ".,"))
    assert written_number(other, ",") == (float(f"{number:.2f}"), "")
    assert written_number(f"$ {text}", ".") == (float(f"{number:.2f}"), "$")
    assert written_number(other.replace(".", "\u202f"), ",") == (float(f"{number:.2f}"), "")


@pytest.mark.parametrize(
    "text",
    [
        "1,2,3",
        "1,25.5",
        "12,50,0",
        "--1",
        "$",
        "",
        "-",
        "1 2",
        "$1€",
        "-5-",
        "(5-)",
        "10\xb2",
        "(\u22121)",
        "1.2.3",
        "x1",
    ],
)
def test_what_is_no_number_in_any_notation_is_not_one(text: str) -> None:
    assert written_number(text, ".") is None
    assert written_number(text, ",") is None


def test_declared_types_decide_and_change_nothing_where_they_are_recognised(tmp_path: Path) -> None:
    cells = ["1.5", "2", "", "2"]
    plain = read(tmp_path, cells)
    assert read(tmp_path, cells, types=(("a", "number"), ("price", "number"))).content_hash() == plain.content_hash()
    assert levels(read(tmp_path, cells, types=(("a", "category"),))) == ("1.5", "2")
    assert read(tmp_path, ["1", "0", ""], types=(("a", "boolean"),)).columns[0] == Column("a", "boolean")
    price = 'a,price\n1,"1.250,5"\n2,"3,5"\n'
    path = tmp_path / "price.csv"
    path.write_text(price)
    assert read_file(path, Roles("price", types=(("price", "decimal_comma"),))).target.tolist() == [1250.5, 3.5]


@pytest.mark.parametrize(
    ("types", "words"),
    [
        ((("c", "number"),), ["dataset.columns=c", "no such column", "It has: a, b, price"]),
        ((("a", "text"),), ["dataset.columns: 'a' is 'text'", "category"]),
        ((("a", "date"),), ["'12' in data row 1 is not a date"]),
        ((("price", "date"),), ["dataset.columns: 'price' must hold numbers, not a date"]),
    ],
)
def test_wrong_declarations_are_named(types: Any, words: list[str], tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        read(tmp_path, ["12", "7"], types=types)
    assert [word for word in words if word not in str(error.value)] == []


def test_times_with_and_without_a_zone_are_not_mixed(tmp_path: Path) -> None:
    zoned = read(tmp_path, ["2024-01-01T12:00+02:00", "2024-01-01T12:00Z"])
    assert zoned.columns[0] == Column("a", "date", zoned=True)
    assert read(tmp_path, ["2024-01-01T12:00", "2024-01-01"]).columns[0] == Column("a", "date")
    # A time without a time zone is in UTC.
    assert read(tmp_path, ["2024-01-01T12:00Z", "2024-01-01"]).columns[0] == Column("a", "date")
    with pytest.raises(InputError, match=r"'2024-01-01T12:00' in data row 2 has none"):
        read(tmp_path, ["2024-01-01T12:00+02:00", "2024-01-01T12:00"])
    for name, zone in (("train", "Europe/Oslo"), ("same", "UTC"), ("other", None)):
        (tmp_path / name).mkdir()
        when = pd.to_datetime(["2024-01-01", "2024-01-02"]).tz_localize(zone)
        pd.DataFrame({"a": when, "b": [1, 2], "price": [1, 2]}).to_parquet(tmp_path / name / "t.parquet")
    train = read_folder(tmp_path / "train", Roles("price"))
    assert read_folder(tmp_path / "same", Roles("price"), train).features[0, 0] == 19723
    with pytest.raises(InputError, match="a time with its time zone is expected, as in training"):
        read_folder(tmp_path / "other", Roles("price"), train)


def test_later_rows_are_read_by_the_declaration(tmp_path: Path) -> None:
    for name, text in (("train", '007,"1,5",-\n7,"2,5",1\n'), ("later", '007,"1.000,5",-\n8,3,2\n')):
        (tmp_path / name).mkdir()
        (tmp_path / name / "t.csv").write_text(
            "code,size,gap,price\n" + "".join(f"{line},{row}\n" for row, line in enumerate(text.splitlines()))
        )
    roles = Roles("price", types=(("size", "decimal_comma"),))
    train = read_folder(tmp_path / "train", roles)
    later = read_folder(tmp_path / "later", roles, train)
    assert np.array_equal(later.features, [[0, 1000.5, nan], [nan, 3, 2]], equal_nan=True)


def test_a_key_is_written_so_that_it_can_be_pasted() -> None:
    assert column_key("rent", "number") == "dataset.columns.rent=number"
    assert column_key("the rent", "number") == "'dataset.columns.the rent=number'"
    assert column_key("x[m.2]", "date") == "'dataset.columns.\"x[m.2]\"=date'"


def test_a_header_of_numbers_that_do_not_count_the_columns_is_named(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("4,5.5,7\n1,2,3\n2,3,4\n")
    (note,) = read_file(path, Roles("7")).notes
    assert "t.csv: the first row (4, 5.5, 7) is read as the header" in note
    for header in ("0,1,2", "1,2,3", "a,1,2"):
        path.write_text(f"{header}\n1,2,3\n2,3,4\n")
        assert read_file(path, Roles("2")).notes == ()
