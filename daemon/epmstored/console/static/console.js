// Asks for this page again while it is looked at, and shows what became of it. Without this script
// the page is the same, and is asked for by its reader.
"use strict";
(() => {
  const SECONDS = 5;
  let etag = null;

  const busy = () => {
    const focus = document.activeElement;
    const typing = focus && ["INPUT", "BUTTON", "SELECT"].includes(focus.tagName);
    return typing || String(document.getSelection() || "") !== "";
  };

  const show = (text) => {
    const fresh = new DOMParser().parseFromString(text, "text/html");
    const next = fresh.getElementById("main"), now = document.getElementById("main");
    if (!next || !now) { return; }
    for (const one of now.querySelectorAll("details[id]")) {
      const same = next.querySelector(`#${CSS.escape(one.id)}`);
      if (same) { same.open = one.open; }
    }
    const focus = document.activeElement;
    const href = focus && now.contains(focus) ? focus.getAttribute("href") : null;
    now.replaceWith(next);
    if (href) {
      const same = [...next.querySelectorAll("a")].find((a) => a.getAttribute("href") === href);
      if (same) { same.focus({ preventScroll: true }); }
    }
    document.title = fresh.title;
  };

  const ask = async () => {
    if (document.hidden || busy()) { return; }
    const headers = etag ? { "If-None-Match": etag } : {};
    try {
      const answer = await fetch(location.href, { headers, cache: "no-store" });
      document.body.classList.toggle("stale", false);
      if (answer.status === 401) { location.reload(); return; }
      if (answer.status !== 200) { return; }
      etag = answer.headers.get("ETag");
      show(await answer.text());
    } catch {
      document.body.classList.toggle("stale", true);
    }
  };

  setInterval(ask, SECONDS * 1000);
  document.addEventListener("visibilitychange", ask);
})();
