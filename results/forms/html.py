"""A table as a page of HTML that loads nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from jinja2 import Environment

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title>
<style>
:root { color-scheme: light dark }
body { font: 1rem/1.4 system-ui, sans-serif; margin: 1rem }
div { overflow-x: auto }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
th, td { padding: .2rem .6rem; text-align: right; white-space: nowrap }
:is(th, td):first-child { text-align: left }
thead th { border-block: 2px solid; border-bottom-width: 1px }
tbody tr:last-child > * { border-bottom: 2px solid }
</style>
</head>
<body>
<div tabindex="0">
<table>
<thead><tr>{% for head in heads %}<th scope="col">{{ head }}</th>{% endfor %}</tr></thead>
<tbody>
{% for row in rows %}
<tr><th scope="row">{{ row[0] }}</th>{% for cell in row[1:] %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}
</tbody>
</table>
</div>
{% for note in notes %}
<p>{{ note }}</p>
{% endfor %}
</body>
</html>
"""


def html_page(columns: Mapping[str, Sequence[str]], title: str, notes: Sequence[str]) -> str:
    """The page: cells, title and notes are text in it and never markup."""
    page = Environment(autoescape=True, trim_blocks=True).from_string(_PAGE)
    return page.render(title=title, heads=list(columns), rows=list(zip(*columns.values(), strict=True)), notes=notes)
