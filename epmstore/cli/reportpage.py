"""A report as one HTML page that needs nothing else: no script, no font, no picture from anywhere.

Everything that comes from the report is escaped, and unprintable characters are made visible: file
names are data of the users who made the files.
"""

from collections.abc import Iterable, Iterator, Sequence
from html import escape

from epmstore.cli.findings import MEANING, withdrawn
from epmstore.cli.moments import local
from epmstore.cli.output import counted, name, number
from epmstore.entryform import Form
from epmstore.refcat.classify import OF_RELEASES
from epmstore.refcat.naming import title

STYLE = """
:root { color-scheme: light dark; --line: #d5d9e0; --soft: #f4f6f9; --ink: #1c2430; --dim: #5c6675;
  --good: #12703c; --bad: #a3251c; --warn: #8a5a00; --page: #fff; }
@media (prefers-color-scheme: dark) { :root { --line: #39414d; --soft: #1d232c; --ink: #e4e8ee;
  --dim: #9aa5b4; --good: #58c98a; --bad: #f08a80; --warn: #e5b45a; --page: #14181e; } }
* { box-sizing: border-box }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--page);
  max-width: 70rem; margin: 2rem auto; padding: 0 1.25rem }
h1 { font-size: 1.6rem; margin: 0 } h2 { font-size: 1.15rem; margin: 2.25rem 0 .6rem }
p { margin: .4rem 0 } .dim { color: var(--dim) }
.verdict { border-left: .35rem solid var(--good); background: var(--soft); padding: .8rem 1rem;
  margin: 1.25rem 0; font-size: 1.1rem }
.verdict.bad { border-color: var(--bad) }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1.25rem; margin: 0 }
dt { color: var(--dim) } dd { margin: 0; overflow-wrap: anywhere }
table { border-collapse: collapse; width: 100% } table.narrow { width: auto }
table.narrow :is(th, td) { padding-right: 2.5rem }
th { text-align: left; font-weight: 600; color: var(--dim); font-size: .85rem }
th, td { border-bottom: 1px solid var(--line); padding: .35rem .75rem .35rem 0;
  vertical-align: top }
td.n, th.n { text-align: right; white-space: nowrap } td.t { white-space: nowrap }
code, pre { font: .86rem/1.45 ui-monospace, monospace } td code { overflow-wrap: anywhere }
pre { overflow-x: auto; background: var(--soft); padding: .8rem 1rem; margin: .5rem 0 }
.what { font-weight: 600; white-space: nowrap } .local, .unknown, .missing { color: var(--bad) }
.stale, .ahead, .foreign, .moved, .meta { color: var(--warn) }
summary { cursor: pointer; padding: .3rem 0 }
@media print { body { max-width: none; margin: 0 } details > * { display: block } }
"""


def page(form: Form) -> str:
    """The whole page."""
    title = f"{form['app']} on {form['host']}"
    return "\n".join(
        [
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta http-equiv="Content-Security-Policy"'
            " content=\"default-src 'none'; style-src 'unsafe-inline'\">",
            f"<title>{_text(title)}</title><style>{STYLE}</style></head><body>",
            *_body(form, title),
            "</body></html>",
            "",
        ]
    )


def _body(form: Form, title: str) -> Iterator[str]:
    yield f"<h1>{_text(title)}</h1>"
    hashed = ", redacted: names that are this host's own are hashes" if form["redacted"] else ""
    made = f"Report of {local(form['time'])} by {_text(form['program'])}"
    yield f'<p class="dim">{made}{hashed}</p>'
    yield _verdict(form)
    yield from _facts(form)
    yield from _deviations(form)
    yield from _firsts(form)
    yield from _versions(form)
    yield from _files(form)


def _verdict(form: Form) -> str:
    release, open_ = form["release"], [d for d in form["deviations"] if not d["accepted"]]
    known = f"{number(form['counts']['known'])} of {number(form['files_total'])} files"
    text = f"{known} are as in {_release(release)}."
    if open_:
        dates = [d["time"] for d in open_ if d["time"]]
        since = f", the oldest recorded {local(min(dates))}" if dates else ""
        text += f" <b>{counted(len(open_), 'deviation')}</b>{since}."
    else:
        text += " <b>Nothing deviates.</b>"
    for one in form.get("withdrawn", ()):
        text += f" <code>{_text(one['path'])}</code> is {_text(withdrawn(one['why']))}."
    if release["revoked"] is not None:
        text += f" This release is {_text(withdrawn(release['revoked']))}."
    return f'<div class="verdict{" bad" if open_ else ""}">{text}</div>'


def _facts(form: Form) -> Iterator[str]:
    catalog, syscat = form["catalog"], form["syscat"]
    recorded = "nothing is recorded yet"
    if syscat["version"] is not None:
        recorded = f"version {syscat['version']} of {local(syscat['time'])}"
    latest = _release({**catalog, "release": catalog["release"]})
    facts = [
        ("Application", f"{_text(form['app'])} <span class=dim>{_text(form['uuid'])}</span>"),
        ("Root", f"<code>{_text(form['root'])}</code>"),
        ("Compared with", _release(form["release"])),
        ("Catalog", f"{_text(catalog['key'])}, up to {latest}"),
        ("Catalog digest", f"<code>{_text(catalog['digest'])}</code>"),
        ("History", recorded),
        ("History digest", f"<code>{_text(syscat['head'] or '-')}</code>"),
    ]
    yield "<h2>What was looked at</h2><dl>"
    yield from (f"<dt>{title}</dt><dd>{value}</dd>" for title, value in facts)
    yield "</dl>"


def _deviations(form: Form) -> Iterator[str]:
    found = form["deviations"]
    yield f"<h2>Deviations ({number(len(found))})</h2>"
    if not found:
        yield "<p>None: every file is as released.</p>"
        return
    kinds = dict.fromkeys(one["what"] for one in found)
    meanings = "; ".join(f"<b>{what}</b>: {MEANING[what]}" for what in kinds)
    yield f'<p class="dim">{meanings}.</p>'
    rows = [
        (
            f'<span class="what {one["what"]}">{one["what"]}</span>',
            f"<code>{_text(one['path'])}</code>{_more(one, form)}",
            "not recorded yet" if one["since"] is None else f"version {one['since']}",
            "" if one["time"] is None else local(one["time"]),
        )
        for one in found
    ]
    yield from _table(("Finding", "Path", "Since", "Recorded"), rows)


def _more(one: Form, form: Form) -> str:
    more = [] if one["class"] == "program" else [one["class"]]
    if one["what"] in OF_RELEASES:
        more.append(f"release {_title(form, one['release'])}")
    if one["other"] is not None:
        more.append(f"belongs to {one['other']['path']}")
    more += [field for field in one["fields"] if field != "content"]
    if one["accepted"]:
        more.append("accepted")
    return f' <span class="dim">{_text(", ".join(more))}</span>' if more else ""


def _firsts(form: Form) -> Iterator[str]:
    yield "<h2>Files by the release that first shipped them</h2>"
    rows = [
        (
            "no release"
            if one["first"] is None
            else _release({"release": one["first"], "label": one.get("label")}),
            number(one["files"]),
        )
        for one in form["first_releases"]
    ]
    yield from _table(("First shipped", "Files"), rows, numbers=(1,), narrow=True)


def _versions(form: Form) -> Iterator[str]:
    yield f"<h2>History ({counted(len(form['versions']), 'version')})</h2>"
    rows = []
    for one in form["versions"][:100]:
        changes = f"+{one['added']} ~{one['modified']} -{one['removed']}"
        why = one["reason"] if one["kind"] == "change" else f"drift ({one['reason']})"
        rows.append(
            (str(one["version"]), local(one["time"]), changes, _text(why), _explained(one, form))
        )
    yield from _table(("Version", "Recorded", "Files", "By", "Explained by"), rows, numbers=(0,))


def _explained(version: Form, form: Form) -> str:
    found = version["explanation"]
    if found is None:
        return ""
    ends = [_text(_title(form, found[end])) for end in ("from", "to")]
    steps = {
        "install": f"release {ends[1]}",
        "upgrade": f"upgrade {ends[0]} → {ends[1]}",
        "downgrade": f"downgrade {ends[0]} → {ends[1]}",
        "switch": f"switch {ends[0]} → {ends[1]}",
        "restored": f"files as in release {ends[1]}",
        "rollback": "rollback" if found["to"] is None else f"content of version {found['to']}",
        "repair": "repair",
        "drift": "",
    }
    text = steps.get(str(found["kind"]), "")
    if found["partial"]:
        text += f", in part: {number(found['done'])} of {number(found['total'])}"
    elif found.get("left_over"):
        text += f", {number(found['left_over'])} left over"
    if found["rest"]:
        text += f"{', ' if text else ''}{number(found['rest'])} unexplained"
    return text


def _files(form: Form) -> Iterator[str]:
    """As text in one element: a table of a hundred thousand rows brings browsers down."""
    yield f"<h2>Every file ({number(len(form['files']))})</h2>"
    yield "<details><summary>SHA-1, first release (- for none), finding, path</summary><pre>"
    for one in form["files"]:
        first = "-" if one["first"] is None else str(one["first"])
        digest = one["digest"] or "-"
        yield f"{digest:<40} {first:>5} {one['what']:<8} {_text(one['path'])}"
    yield "</pre></details>"


def _release(form: Form) -> str:
    return f"release {_text(title(form['release'], form['label']))}"


def _title(form: Form, release: int) -> str:
    return title(release, form.get("labels", {}).get(str(release)))


def _table(
    titles: Sequence[str],
    rows: Iterable[Sequence[str]],
    numbers: Sequence[int] = (),
    *,
    narrow: bool = False,
) -> Iterator[str]:
    """Cells are HTML already; as wide as the page, or as its cells."""
    heads = (f"<th{' class=n' if n in numbers else ''}>{t}</th>" for n, t in enumerate(titles))
    kind = " class=narrow" if narrow else ""
    yield f"<table{kind}><thead><tr>{''.join(heads)}</tr></thead><tbody>"
    for row in rows:
        cells = (f"<td{' class=n' if n in numbers else ''}>{c}</td>" for n, c in enumerate(row))
        yield f"<tr>{''.join(cells)}</tr>"
    yield "</tbody></table>"


def _text(value: object) -> str:
    return escape(name(str(value)))
