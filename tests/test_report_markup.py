"""What templates print is escaped, each time and whatever was printed before."""

from __future__ import annotations

from itertools import permutations

import pytest
from jinja2 import UndefinedError
from markupsafe import Markup, escape

from reports.markup import environment, name

HOSTILE = """<img src=x onerror="alert('1')">&"""


@pytest.mark.parametrize("values", list(permutations([HOSTILE, Markup(HOSTILE), Markup(escape(HOSTILE))])))
def test_text_is_escaped_and_the_markup_it_equals_is_not(values: tuple[str, ...]) -> None:
    printed = environment().from_string("{% for v in values %}{{ v }}|{% endfor %}").render(values=values)
    assert printed == "".join(f"{v if isinstance(v, Markup) else escape(v)}|" for v in values)
    assert printed.count("<img") == 1


def test_values_that_equal_each_other_are_printed_each_its_own_way() -> None:
    template = environment().from_string("{{ a }} {{ b }} {{ c }}")
    assert template.render(a=1, b=True, c=1.0) == "1 True 1.0"
    assert template.render(a=True, b=1.0, c=1) == "True 1.0 1"


def test_what_a_macro_returns_is_escaped_within_and_not_again() -> None:
    source = "{% macro bold(x) %}<b>{{ x }}</b>{% endmacro %}{{ bold(text) }}{{ bold(bold(text)) }}"
    inner = f"<b>{escape(HOSTILE)}</b>"
    assert environment().from_string(source).render(text=HOSTILE) == f"{inner}<b>{inner}</b>"


def test_a_name_stands_by_itself_and_stays_text() -> None:
    assert name("a:b") == "<bdi>a:<wbr>b</bdi>"
    assert name(HOSTILE).count("<") == name("").count("<") + name(HOSTILE).count("<wbr>")


def test_a_name_that_no_page_was_given_is_an_error() -> None:
    with pytest.raises(UndefinedError, match="missing"):
        environment().from_string("{{ missing }}").render()
