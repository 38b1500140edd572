"""What is done in a real browser, by a program that has Playwright: `python drive.py PLAN`.

PLAN is a file with JSON: `link` into the console, `pages`, `shots` (a folder for pictures),
`chromium`, `elsewhere` (the address of a page of others), `file` (to be written while a page is
open), `news` (what shows up then) and `patched` (a file that version 0 had otherwise). What was
found goes to standard output as JSON: of each thing that was looked at, what it is and, if it is
not as it should be, why.
"""

import importlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

SIZES = ((360, 780), (1280, 800), (2560, 1300))
SCHEMES = ("light", "dark")
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]}


class Visit:
    """One browser with a session of the console."""

    def __init__(self, browser: Any, plan: dict[str, Any], axe: Any) -> None:
        self._browser, self._plan, self._axe = browser, plan, axe
        self.base = str(plan["link"]).partition("/enter")[0]
        self.context = browser.new_context()
        self.page = self.context.new_page()
        self.said: list[str] = []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("dialog", lambda dialog: self.said.append("a dialog was opened"))

    def enter(self) -> str | None:
        """By the link, as a person does; the cookie is there at the first page already."""
        self.page.goto(self._plan["link"])
        self.page.click("button.large")
        if self.page.url != f"{self.base}/":
            return f"it led to {self.page.url}"
        cookies = [(one["sameSite"], one["httpOnly"]) for one in self.context.cookies()]
        return None if cookies == [("Strict", True)] else f"cookies: {cookies}"

    def come_from_elsewhere(self) -> str | None:
        """A colleague sent a link: a page of another site leads to a page of ours."""
        self.page.goto(self._plan["elsewhere"])
        self.page.click("#link")
        self.page.wait_for_url(f"{self.base}/apps/crm")
        self.page.wait_for_selector("#h-versions")
        self.said.clear()  # of the frame there, which is refused
        return None

    def be_attacked(self) -> str | None:
        """That page sends a form, and frames us."""
        self.page.goto(self._plan["elsewhere"])
        frame = self.page.frames[-1]
        if "crm" in frame.content():
            return "a page of ours is in a frame"
        self.page.click("#form button")
        if self.page.locator("text=a page from elsewhere asks for this").count() != 1:
            return f"the form was answered with {self.page.content()}"
        found = self.page.goto(f"{self.base}/")
        return None if found.status == 200 else "the session was ended"

    def do_without_script(self) -> str | None:
        context = self._browser.new_context(
            java_script_enabled=False, storage_state=self.context.storage_state()
        )
        page = context.new_page()
        page.goto(f"{self.base}/")
        with_it = self.page.goto(f"{self.base}/") and self.page.inner_text("main")
        without = page.inner_text("main")
        context.close()
        return None if with_it == without else f"{without!r} and not {with_it!r}"

    def use_the_keyboard(self) -> str | None:
        self.page.goto(f"{self.base}/")
        self.page.keyboard.press("Tab")
        self.page.keyboard.press("Enter")
        focused = self.page.evaluate("document.activeElement.id")
        return None if focused == "main" else f"focus is at {focused!r}"

    def see_news(self) -> str | None:
        """What is recorded while a page is open shows up in it."""
        self.page.set_viewport_size({"width": 1280, "height": 800})
        self.page.goto(f"{self.base}/apps/crm")
        Path(self._plan["file"]).write_text("news\n", "utf-8")
        news = f"#h-versions:has-text('{self._plan['news']}')"
        self.page.wait_for_selector(news, timeout=60_000)
        return None

    def go_back(self) -> str | None:
        """A bad patch is taken back, and that is undone; each by the form of a plan."""
        file = Path(self._plan["patched"])
        bad = file.read_bytes()
        self.page.goto(f"{self.base}/apps/crm/versions/0")
        self.page.click("a.act")
        self._carry_out()
        good = file.read_bytes()
        self.page.click("text=Undo it")
        self._carry_out()
        if good == bad or file.read_bytes() != bad:
            return f"{bad!r} became {good!r}, and then {file.read_bytes()!r}"
        return None

    def _carry_out(self) -> None:
        self.page.fill("#key", "crm")
        self.page.click("section.act button")
        self.page.wait_for_selector("text=It is done.", timeout=60_000)

    def look(self, number: int, path: str, scheme: str, size: tuple[int, int]) -> str | None:
        """At one page, as axe and an eye would."""
        self.page.emulate_media(color_scheme=scheme)
        self.page.set_viewport_size({"width": size[0], "height": size[1]})
        found = self.page.goto(self.base + path)
        shot = f"{number:02d}-{scheme}-{size[0]}.png"
        self.page.screenshot(path=f"{self._plan['shots']}/{shot}", full_page=True)
        wrong = [] if found.status == 200 else [f"status {found.status}"]
        wide = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
        wrong += ["wider than the window"] if self.page.evaluate(wide) else []
        response = self._axe.run(self.page, options=RULES).response
        wrong += [f"{one['id']}: {one['nodes'][0]['html']}" for one in response["violations"]]
        if not response["passes"]:
            wrong.append("axe looked at nothing")
        return "; ".join(wrong) or None


def main(plan: dict[str, Any]) -> list[dict[str, str | None]]:
    playwright = importlib.import_module("playwright.sync_api")
    axe = importlib.import_module("axe_playwright_python.sync_playwright").Axe()
    found: list[dict[str, str | None]] = []

    def note(what: str, do: Callable[[], str | None]) -> None:
        try:
            wrong = do()
        except Exception as error:
            wrong = f"{type(error).__name__}: {error}"
        found.append({"what": what, "wrong": wrong})

    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=plan["chromium"], args=["--no-sandbox"])
        visit = Visit(browser, plan, axe)
        note("enter", visit.enter)
        note("come from elsewhere", visit.come_from_elsewhere)
        for number, path in enumerate(plan["pages"]):
            for scheme in SCHEMES:
                for size in SIZES:
                    what = f"{path} {scheme} {size[0]}"
                    note(what, lambda n=number, p=path, s=scheme, z=size: visit.look(n, p, s, z))  # type: ignore[misc]
        note("keyboard", visit.use_the_keyboard)
        note("without script", visit.do_without_script)
        note("news", visit.see_news)
        note("going back", visit.go_back)
        said = "; ".join(visit.said)
        note("the browser has nothing to say", lambda: said or None)
        note("be attacked", visit.be_attacked)
        browser.close()
    return found


if __name__ == "__main__":
    json.dump(main(json.loads(Path(sys.argv[1]).read_text("utf-8"))), sys.stdout)
