"""Finding methods, and what is refused about them and their hyper-parameters."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import pytest
from spine_toys import write_method

from benchmark import finding
from benchmark.errors import MethodError
from benchmark.finding import chain, find_method, method_files, method_names, split_pairs, split_spec
from benchmark.sources import source_digest

FIELDS = """
    weight: Annotated[float, Field(ge=0)] = 10.0
    rank: Annotated[int, Field(ge=1)] = 32
    again: bool = False
    kind: Literal["plain", "fancy"] = "plain"
    cap: Annotated[float, Field(gt=0)] | None = None
"""


@pytest.fixture
def toy(tmp_path: Path) -> str:
    return str(write_method(tmp_path, FIELDS))


def refusal(name: str, params: dict[str, object] | None = None) -> str:
    """The sentence with which a method is refused."""
    with pytest.raises(MethodError) as caught:
        find_method(name, params)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_a_name_is_a_file_of_the_folder_and_an_underscore_hides_it():
    files = method_files()
    assert set(files) <= set(method_names())
    assert all(file.stem == name and file.is_file() for name, file in files.items())
    assert any(file.name.startswith("_") for file in next(iter(files.values())).parent.glob("*.py"))
    assert not any(name.startswith("_") for name in files)


def test_listing_names_imports_no_method():
    for name in [name for name in sys.modules if name.startswith("methods.")]:
        del sys.modules[name]
    method_names()
    assert not [name for name in sys.modules if name.startswith("methods.")]


def test_every_method_of_the_project_is_found_under_its_own_name():
    for name in method_files():
        variant = find_method(name)
        assert variant.text == variant.method.name == name
        assert len(variant.source_digest) == 64


def test_an_unknown_name_tells_the_nearest_and_all_others():
    message = refusal("fine_tun")
    assert "unknown method 'fine_tun'; did you mean 'fine_tune'?" in message
    assert all(name in message for name in method_names())


@pytest.mark.parametrize("name", ["", ":", "clora:", "clora:rank", "clora:=3"])
def test_text_that_names_nothing_is_refused(name):
    assert "method" in refusal(name)


def test_a_method_is_found_by_path(toy):
    variant = find_method(toy)
    assert (variant.text, variant.method.name) == ("toy", "toy")
    assert variant.params == {"weight": 10.0, "rank": 32, "again": False, "kind": "plain", "cap": None}
    assert type(find_method(toy).method) is type(variant.method)


def test_a_changed_file_is_read_anew(tmp_path):
    before = find_method(str(write_method(tmp_path, "\n    rank: int = 1\n")))
    after = find_method(str(write_method(tmp_path, "\n    rank: int = 2\n")))
    assert (before.params["rank"], after.params["rank"]) == (1, 2)
    assert before.source_digest != after.source_digest


def test_a_missing_path_is_named(tmp_path):
    path = tmp_path / "gone.py"
    assert refusal(str(path)) == f"method file {str(path)!r} does not exist"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("x = 1\n", "defines 0 subclasses of Method"),
        ("from benchmark.method import Method\n", "defines 0 subclasses of Method"),
        ("def (:\n", "fails on import: SyntaxError"),
        ("import nothing_of_this_name\n", "fails on import: ModuleNotFoundError"),
        ("raise SystemError('no')\n", "fails on import: SystemError"),
        ("from benchmark.method import Method\nclass A(Method): pass\n", "A is not a frozen dataclass"),
        (
            "from dataclasses import dataclass\nfrom benchmark.method import Method\n"
            "@dataclass\nclass A(Method):\n    x: int = 1\n",
            "A is not a frozen dataclass",
        ),
        (
            "from dataclasses import dataclass\nfrom benchmark.method import Method\n"
            "@dataclass(frozen=True)\nclass A(Method): pass\n"
            "@dataclass(frozen=True)\nclass B(Method): pass\n",
            "defines 2 subclasses of Method; expected exactly one",
        ),
    ],
)
def test_a_file_that_holds_no_method_is_refused(tmp_path, source, expected):
    path = tmp_path / "odd.py"
    path.write_text(source)
    message = refusal(str(path))
    assert "odd.py" in message and expected in message


def test_a_file_that_failed_can_be_mended(tmp_path):
    path = tmp_path / "toy.py"
    path.write_text("raise ValueError\n")
    refusal(str(path))
    write_method(tmp_path)
    assert find_method(str(path)).text == "toy"


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"rnk": 1}, "unknown hyper-parameter 'rnk'; did you mean 'rank'?"),
        ({"rank": "many"}, "hyper-parameter 'rank': got 'many'"),
        ({"rank": "1.5"}, "hyper-parameter 'rank': got '1.5'"),
        ({"rank": "0"}, "hyper-parameter 'rank': got '0'"),
        ({"weight": "-1"}, "hyper-parameter 'weight': got '-1'"),
        ({"weight": "nan"}, "hyper-parameter 'weight': got 'nan'"),
        ({"weight": "inf"}, "hyper-parameter 'weight': got 'inf'"),
        ({"again": "perhaps"}, "hyper-parameter 'again': got 'perhaps'"),
        ({"kind": "odd"}, "hyper-parameter 'kind': got 'odd'"),
        ({"cap": "0"}, "hyper-parameter 'cap': got '0'"),
    ],
)
def test_a_wrong_hyper_parameter_is_refused_by_name_and_value(toy, params, expected):
    message = refusal(toy, params)
    assert message.startswith("method 'toy': ") and expected in message


def test_a_hyper_parameter_without_default_must_be_given(tmp_path):
    path = str(write_method(tmp_path, "\n    rank: int\n"))
    assert "'rank'" in refusal(path)
    assert find_method(path, {"rank": "3"}).text == "toy:rank=3"


def test_a_hyper_parameter_is_given_once(toy):
    assert "'rank' is given twice" in refusal(f"{toy}:rank=2,rank=3")
    assert "'rank' is given twice" in refusal(f"{toy}:rank=2", {"rank": 2})
    for pairs in (["a=1", "a=2"], ["a=1", "a =2"]):
        with pytest.raises(MethodError, match="'a' is given twice"):
            split_pairs(pairs, where="here")


@pytest.mark.parametrize("pair", ["rank", "=3", ""])
def test_a_pair_has_a_name_and_a_value(pair):
    with pytest.raises(MethodError, match=r"^here: .* is not of the form name=value$"):
        split_pairs([pair], where="here")


@pytest.mark.parametrize(
    ("spec", "name", "params"),
    [
        ("mib", "mib", {}),
        ("sdr:on=plop", "sdr", {"on": "plop"}),
        ("a/b.py:x=1,y=2", "a/b.py", {"x": "1", "y": "2"}),
        ("m:schemes=output,encoder,rank=3", "m", {"schemes": "output,encoder", "rank": "3"}),
        ("m:x=a=b", "m", {"x": "a=b"}),
        ("m:x=", "m", {"x": ""}),
    ],
)
def test_a_text_is_split_at_names_only(spec, name, params):
    assert split_spec(spec) == (name, params)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({}, "toy"),
        ({"rank": "32", "weight": "10"}, "toy"),
        ({"weight": "1e1", "again": "false"}, "toy"),
        ({"weight": "0.5", "rank": "8"}, "toy:rank=8,weight=0.5"),
        ({"rank": "8", "weight": "0.50"}, "toy:rank=8,weight=0.5"),
        ({"weight": "100.0"}, "toy:weight=100"),
        ({"weight": "0.1234567891"}, "toy:weight=0.1234567891"),
        ({"weight": "1000000"}, "toy:weight=1e+06"),
        ({"again": "true", "kind": "fancy"}, "toy:again=true,kind=fancy"),
        ({"cap": "2"}, "toy:cap=2"),
    ],
)
def test_the_text_of_a_variant_is_canonical(toy, given, text):
    variant = find_method(toy, given)
    assert variant.text == text
    again = find_method(toy, split_spec(text)[1])
    assert (again.text, again.params) == (text, variant.params)


def test_hyper_parameters_cannot_be_changed_later(toy):
    with pytest.raises(AttributeError):
        find_method(toy).method.rank = 3


def test_the_source_digest_is_that_of_the_file(tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    for folder in (one, other):
        folder.mkdir()
    same = [find_method(str(write_method(folder))).source_digest for folder in (one, other)]
    assert same[0] == same[1]
    changed = write_method(other)
    changed.write_text(changed.read_text() + "# a word more\n")
    assert find_method(str(changed)).source_digest != same[0]


def test_hyper_parameters_are_not_in_the_source_digest(toy):
    assert find_method(toy, {"rank": 3}).source_digest == find_method(toy).source_digest


ON = """
    on: str = "fine_tune"

    def other_method(self):
        return self.on
"""


def test_the_source_digest_covers_what_a_method_works_on_top_of(tmp_path):
    below = write_method(tmp_path, name="below")
    path = str(write_method(tmp_path, ON, name="above"))
    first = find_method(path, {"on": str(below)})
    assert [part.name for part in chain(first.method)] == ["above", "below"]
    below.write_text(below.read_text() + "# a word more\n")
    second = find_method(path, {"on": str(below)})
    assert first.source_digest != second.source_digest
    assert first.source_digest != find_method(path).source_digest


def test_methods_that_stand_on_each_other_without_end_are_refused(tmp_path):
    path = tmp_path / "round.py"
    write_method(tmp_path, f"\n    on: str = {str(path)!r}\n", name="round")
    assert "on top of itself" in refusal(str(path))


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Pretend that an installed package offers adapters."""
    (tmp_path / "somewhere").mkdir()
    write_method(tmp_path / "somewhere", FIELDS, name="inside")
    package = tmp_path / "somewhere" / "__init__.py"
    package.write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    points = EntryPoints([EntryPoint("offered", "somewhere.inside", finding.ENTRY_POINTS)])
    monkeypatch.setattr(finding, "entry_points", points.select)
    yield
    for name in ("somewhere", "somewhere.inside"):
        sys.modules.pop(name, None)


def test_a_method_of_an_installed_package_is_found_under_the_name_it_is_offered_as(installed):
    assert "offered" in method_names()
    variant = find_method("offered:rank=8")
    assert (variant.text, variant.method.name) == ("offered:rank=8", "offered")
    assert "did you mean 'offered'?" in refusal("ofered")


def test_a_file_of_the_project_wins_over_an_installed_one(installed, monkeypatch):
    points = EntryPoints([EntryPoint("fine_tune", "somewhere.inside", finding.ENTRY_POINTS)])
    monkeypatch.setattr(finding, "entry_points", points.select)
    assert find_method("fine_tune").params == {}


@pytest.mark.parametrize(
    ("line", "covered"),
    [
        ("from methods._shared import thing", True),
        ("from methods import _shared", True),
        ("import methods._shared as shared", True),
        ("from ._shared import thing", True),
        ("from methods._between import thing", True),
        ("import _shared", False),
        ("from elsewhere._shared import thing", False),
        ("# from methods._shared import thing", False),
    ],
)
def test_the_source_digest_covers_the_parts_that_adapters_share(tmp_path, line, covered):
    adapter, shared = tmp_path / "adapter.py", tmp_path / "_shared.py"
    adapter.write_text(f"def hook():\n    {line}\n    return 1\n")
    (tmp_path / "_between.py").write_text("from methods._shared import thing\nimport methods.adapter\n")
    digests = set()
    for content in ("thing = 1\n", "thing = 2\n"):
        shared.write_text(content)
        digests.add(source_digest([adapter], [tmp_path]))
    assert len(digests) == (2 if covered else 1)
