"""What pages show: values in, contexts out."""

from urllib.parse import quote

from hypothesis import given
from hypothesis import strategies as st

from epmstore.catalog.appcat import App
from epmstore.clock import to_rfc3339
from epmstore.relpath import RelPath
from epmstore.workspace.deviations import DatedDeviation, Since
from epmstored.app_state import AppState
from epmstored.console.addresses import of_path
from epmstored.console.appfacts import AppFacts, TimePoint
from epmstored.console.appview import app_view
from epmstored.console.hostfacts import AppNow, AppSummary
from epmstored.console.hostview import host_view
from epmstored.console.phrases import Today, bars
from epmstored.console.sidebyside import CONTEXT, side_by_side
from epmstored.console.standings import Standing
from epmstored.console.timeline import BUCKETS, HEIGHT, timeline
from epmstored.console.versionrows import VersionRow
from epmstored.health import Trouble

NOW = 1_800_000_000.0
ROW = VersionRow(
    number=3, time=NOW - 60, is_change=True, hue="asked", said="snapshot", explained="",
    changes="~1", marks=(), by="jane",
)  # fmt: skip
LINES = st.lists(st.sampled_from(["a", "b", "c", "", "<b>"]), max_size=40)


def app_now(key: str, **facts: object) -> AppNow:
    app = App(uuid=key, key=key, root=f"/opt/{key}")
    duties = {name: facts.pop(name) for name in [*facts] if name.startswith("is_")}
    summary = AppSummary(app=app, newest=ROW, **facts)  # type: ignore[arg-type]
    return AppNow(summary=summary, token=1, **duties)  # type: ignore[arg-type]


def state(key: str, **facts: object) -> AppState:
    known: dict[str, object] = {"phase": "watching", **facts}
    return AppState(app=key, uuid=key, root=f"/opt/{key}", **known)  # type: ignore[arg-type]


def test_those_that_need_a_person_come_first() -> None:
    apps = [app_now("a"), app_now("b"), app_now("c", is_interrupted=True), app_now("d", notes=2)]
    states = {key: state(key) for key in "acd"} | {"b": state("b", phase="gone", error="no root")}
    deviating = Standing(counts={"local": 3}, since=to_rfc3339(NOW))
    standings = {"a": Standing(counts={}), "d": deviating}
    context = host_view(apps, states, standings, {"a": (3, to_rfc3339(NOW))}, [], Today(NOW))
    assert [row.key for row in context["rows"]] == ["b", "c", "d", "a"]
    assert [row.urgency for row in context["rows"]] == ["bad", "bad", "wait", "good"]
    assert context["verdict"] == "2 in trouble, 1 waiting for you; 4 applications in all."
    assert context["unlooked"] == 2 and context["urgency"] == "bad"
    (notes, deviations) = context["rows"][2].matters
    assert notes.text == "2 notes to be read" and deviations.text.startswith("3 deviations since")
    assert context["rows"][3].proven.startswith("version 3, ")


def test_a_host_on_which_all_is_well_says_so() -> None:
    context = host_view([app_now("a")], {"a": state("a")}, {}, {}, [], Today(NOW))
    assert context["verdict"] == "Everything is as it should be: 1 application."
    assert host_view([], {}, {}, {}, [], Today(NOW))["verdict"] == "There is no application yet."
    full = host_view([], {}, {}, {}, [Trouble(None, "full", "no room")], Today(NOW))
    assert full["urgency"] == "bad" and full["of_store"][0].what_helps == "epmstore gc"


@given(LINES, LINES)
def test_both_texts_can_be_read_off_the_sides(one: list[str], two: list[str]) -> None:
    found = side_by_side("\n".join(one).encode(), "\n".join(two).encode())
    for lines, number, text in (
        (one, "old_number", "old_text"),
        (two, "new_number", "new_text"),
    ):
        for row in found.rows:
            at = getattr(row, number)
            if at is not None:
                shown = getattr(row, text).removesuffix(" (no newline at the end)")
                assert shown == lines[at - 1]
    changed = [row for row in found.rows if row.kind not in ("same", "gap")]
    assert bool(changed) == (one != two and ("\n".join(one) != "\n".join(two)))
    for row in changed:
        assert row.kind != "changed" or row.old_text != row.new_text


def test_differences_are_bounded() -> None:
    old = b"".join(b"%d\n" % n for n in range(10_000))
    near = side_by_side(old, old.replace(b"\n5000\n", b"\nx\n"))
    assert len(near.rows) == 2 * CONTEXT + 3 and near.why_not is None
    assert side_by_side(old, old[::-1]).why_not is not None
    assert side_by_side(b"a\0b", b"a").why_not == "these are no texts"
    wide = side_by_side(b"x" * 100_000, b"\x1b[31m" + b"y" * 100_000)
    assert max(len(row.old_text) + len(row.new_text) for row in wide.rows) < 800
    assert "\x1b" not in wide.rows[0].new_text


def test_the_line_of_time_has_a_place_for_every_version() -> None:
    points = [
        TimePoint(NOW - n * 40_000, n % 5 == 0, "asked" if n % 5 == 0 else "drift")
        for n in range(1000)
    ]
    for days in (30, 365, None):
        found = timeline(points, days, Today(NOW))
        assert 0 < len(found.bars) <= BUCKETS
        assert all(0 <= part.y < HEIGHT for bar in found.bars for part in bar.segments)
    assert timeline([], None, Today(NOW)).bars == ()
    assert bars([0, 1, 100]) == [0, 3, 16]


def test_times_are_told_by_the_day() -> None:
    today = Today(NOW)
    assert today.told(NOW).startswith("today ")
    assert today.told(NOW - 86_400).startswith("yesterday ")
    assert today.told(NOW - 400 * 86_400)[:4].isdecimal()
    assert today.of(None) == ""


def test_addresses_bring_names_of_any_bytes_back() -> None:
    path = quote("//a%20b/%FF%3F%26%23", safe="")
    assert of_path("crm", "a b/\udcff?&#") == f"/apps/crm/path?path={path}"


def test_deviations_are_shown_by_what_they_are() -> None:
    since = Since(2, to_rfc3339(NOW - 60), None)
    named = (
        DatedDeviation(path=RelPath("lib/b"), what="missing", path_class="program", since=since),
        DatedDeviation(path=RelPath("etc/a"), what="local", path_class="config", since=None),
        DatedDeviation(path=RelPath("etc/\n"), what="local", path_class="program", since=since),
    )
    standing = Standing(baseline="release", title="4.2 (1)", counts={}, named=named)
    now = app_now("crm")
    facts = AppFacts(
        now=now, app=now.summary.app, total=3, points=(), rows=(ROW,), next=None, has_releases=True
    )
    context = app_view(
        facts, state("crm"), standing, None, Today(NOW), days=30, only_changes=False,
        is_first_page=True,
    )  # fmt: skip
    assert context["baseline"] == "compared with release 4.2 (1)"
    local, missing = context["findings"]
    assert (local["what"], missing["what"]) == ("local", "missing")
    assert [one["path"] for one in local["lines"]] == ["$'etc/\\n'", "etc/a"]
    assert local["lines"][1]["since"] == "not recorded yet"
    assert missing["lines"][0]["since"].startswith("version 2, ")
