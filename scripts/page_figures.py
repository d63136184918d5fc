"""How quickly the annotation page shows a mask: from the hand's click to the drawn mask, on an open 1080p frame.

    python scripts/page_figures.py --out docs/results/page.json

A real `trocar serve` in a process of its own with the packaged model, and Debian's Chromium without a window on the
same machine. The clock is the page's own: it starts when the button of the mouse is let go, and stops at the first
picture that is drawn with the new mask. Each click is followed by an undo, which is not timed.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright
from server_figures import COLUMNS, ROWS, serving, told

FRAME = 10

WATCH = """() => {
  const frame = document.querySelector("#frame")
  window.times = []
  let began = null
  let before = ""
  frame.addEventListener("pointerup", () => {
    began = performance.now()
    before = frame.dataset.masks
  })
  new MutationObserver(() => {
    if (began === null || frame.dataset.masks === before) return
    const start = began
    began = null
    requestAnimationFrame(() => window.times.push(performance.now() - start))
  }).observe(frame, { attributes: true, attributeFilter: ["data-masks"] })
}"""


def clicks(page: Page, count: int) -> list[float]:
    """Seconds of each click, after a first one that is not counted."""
    page.fill("#number", str(FRAME))
    page.press("#number", "Tab")
    page.wait_for_selector(f"#frame[data-shown='{FRAME}']")
    page.wait_for_timeout(3000)  # the network looks at the frame meanwhile
    box = page.locator("#frame").bounding_box()
    assert box is not None
    scale = min(box["width"] / COLUMNS, box["height"] / ROWS)
    left = box["x"] + (box["width"] - COLUMNS * scale) / 2
    top = box["y"] + (box["height"] - ROWS * scale) / 2
    page.evaluate(WATCH)
    for done in range(count + 1):
        page.mouse.click(left + (500 + FRAME * 5 + done) * scale, top + 500 * scale)
        page.wait_for_selector("#undo:not([disabled])")
        while int(page.evaluate("window.times.length")) <= done:
            page.wait_for_timeout(20)
        page.wait_for_timeout(300)
        page.click("#undo")
        page.wait_for_selector("#undo[disabled]")
        page.wait_for_timeout(200)
    return [time / 1000 for time in page.evaluate("window.times")[1:]]


def measured(address: str, count: int) -> list[float]:
    """Open the clip in a browser and click."""
    chromium = shutil.which("chromium")
    if chromium is None:
        raise SystemExit("there is no chromium: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1440, "height": 860})
        page.set_default_timeout(120_000)
        page.goto(address)
        page.click("#files button:has-text('clip.mp4')")
        page.wait_for_selector("#frame[data-shown='0']")
        times = clicks(page, count)
        browser.close()
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clicks", type=int, default=20, help="(20)")
    parser.add_argument("--out", type=Path, help="where the figures go, as JSON")
    options = parser.parse_args()
    with serving() as address:
        times = measured(address, options.clicks)
    figures: dict[str, Any] = {
        "click_to_drawn_mask_s": {
            "count": len(times),
            "median": round(statistics.median(times), 3),
            "p95": round(sorted(times)[max(0, round(0.95 * len(times)) - 1)], 3),
            "longest": round(max(times), 3),
        },
    }
    told(figures, options.out)


if __name__ == "__main__":
    main()
