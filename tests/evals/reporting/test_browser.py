"""The page in a real browser: nothing sticks out, nothing is complained about, at both widths."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import replace
from pathlib import Path

from evals.reporting import render
from evals.reporting.numbers import build_report
from tests.conftest import need_tool
from tests.evals.reporting.runs import make_run

WIDTHS = (1280, 400)
PROBE = """<!DOCTYPE html><body><script>
const found = {};
function look(frame) {
  const page = frame.contentDocument, root = page.documentElement, outside = [];
  for (const node of page.querySelectorAll("main *, header *, footer *")) {
    const box = node.getBoundingClientRect();
    const spills = node.matches(".row > .r, .row > .name") && node.scrollWidth > node.clientWidth + 1;
    const sticks_out = spills || box.right > root.clientWidth + 1 || box.left < -1;
    if (box.width && sticks_out) outside.push(node.outerHTML.slice(0, 90));
  }
  const fonts = [...page.querySelectorAll("svg text")].filter(t => t.getBoundingClientRect().width)
    .map(t => t.getScreenCTM().a * parseFloat(getComputedStyle(t).fontSize));
  found[frame.width] = {
    page: root.scrollWidth, window: root.clientWidth, outside: outside.slice(0, 5),
    plots: [...page.querySelectorAll("svg")].filter(s => s.getBoundingClientRect().width).length,
    smallest: Math.min(...fonts),
  };
  const rows = () => [...page.querySelectorAll("table.sortable tbody tr")];
  const names = () => rows().map(row => row.cells[0].textContent);
  const heads = [...page.querySelectorAll("table.sortable th button")];
  const sorts = [];
  const reachable = heads.length > 3 && heads.every(head => head.getBoundingClientRect().height >= 12);
  for (const column of [1, 3, 3]) { heads[column].click(); sorts.push(names()); }
  const box = page.querySelector("#filter input[type=checkbox]");
  box.click();
  const shown = [...page.querySelectorAll("details.sample")].filter(sample => !sample.hidden);
  const divided = shown.every(sample => sample.dataset.spread > 0);
  box.click();
  Object.assign(found[frame.width], {sorts, divided, reachable});
  document.body.dataset.found = JSON.stringify(found);
}
</script>%s</body>"""


def test_it_looks_right_at_both_widths(tmp_path: Path) -> None:
    run = make_run()
    systems = [replace(s, kind="runnable") if s.name == "smollm2-closed-book" else s for s in run.systems]
    page = render(build_report(replace(run, systems=systems)), "html")
    assert "no passages known" in page, "the longest remark of a bar"
    (tmp_path / "report.html").write_text(page, encoding="utf-8")
    frames = "".join(
        f'<iframe width="{width}" height="900" src="report.html" onload="look(this)"></iframe>'
        for width in WIDTHS
    )
    (tmp_path / "probe.html").write_text(PROBE % frames, encoding="utf-8")
    done = subprocess.run(
        [
            need_tool("chromium", "chromium"),
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--allow-file-access-from-files",
            "--enable-logging=stderr",
            "--virtual-time-budget=5000",
            f"--user-data-dir={tmp_path / 'profile'}",
            "--dump-dom",
            f"file://{tmp_path}/probe.html",
        ],
        capture_output=True,
        text=True,
        timeout=90,
        check=True,
    )
    assert "CONSOLE" not in done.stderr, [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    match = re.search(r'data-found="([^"]+)"', done.stdout)
    assert match, done.stdout[:300]
    found = json.loads(match.group(1).replace("&quot;", '"').replace("&lt;", "<").replace("&gt;", ">"))
    for width in WIDTHS:
        seen = found[str(width)]
        assert seen["page"] <= seen["window"], (width, seen)
        assert seen["outside"] == [], (width, seen)
        assert seen["plots"] == 4, "each plot in one of its two sizes"
        score, cheap, dear = seen["sorts"]
        assert score[0] == "house-model", "the highest score first"
        assert cheap[0].startswith("extractive"), "the cheapest first"
        assert dear[0].startswith("groq"), "then the dearest"
        assert cheap[-1] == dear[-1] == "house-model", "an unknown price comes last in either order"
        assert seen["divided"]
        assert seen["reachable"], "the leaderboard can be sorted at this width"
        assert seen["smallest"] >= 10.5, "text in plots stays readable"
