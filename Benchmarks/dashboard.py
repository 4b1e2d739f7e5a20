"""How the dashboard fares with 200 services in Chromium: time to the first picture, and frames a second while it is moved.

  dashboard.py [--rounds N] [--seconds S]

The control plane is a real one; what its API says of services is replaced in the browser (Tests/Integration/support/many.py).
"""

import argparse
import os
import statistics
import sys
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(TOP, "Tests", "Integration"))

from support.browser import Browser  # noqa: E402
from support.many import MANY  # noqa: E402
from support.mesh import Mesh  # noqa: E402

# Zooms and moves in every frame, as a hand at the mouse does; figures change meanwhile, twice a second.
MOVE = """
new Promise((done) => {
  const canvas = document.querySelector(".graph svg[role=group]"), box = canvas.getBoundingClientRect();
  const begin = performance.now(), times = [];
  const step = (now) => {
    times.push(now);
    const at = { clientX: box.left + 300 + 200 * Math.sin(now / 300), clientY: box.top + 200, bubbles: true, cancelable: true };
    canvas.dispatchEvent(new WheelEvent("wheel", { ...at, deltaY: 30 * Math.sin(now / 500) }));
    if (now - begin < SECONDS * 1000) return requestAnimationFrame(step);
    const gaps = times.slice(1).map((t, i) => t - times[i]).sort((a, b) => a - b);
    done({ frames: gaps.length, perSecond: 1000 * gaps.length / (times[times.length - 1] - times[0]),
           slowest: gaps[gaps.length - 1], p99: gaps[Math.floor(gaps.length * 0.99)] });
  };
  requestAnimationFrame(step);
})
"""


def wait(browser, expression, seconds=30):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := browser.run(expression):
            return found
        time.sleep(0.05)
    raise TimeoutError(expression)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        mesh = Mesh(folder, None).start()
        browser = Browser(folder, 1440, 900)
        try:
            browser.call("Page.addScriptToEvaluateOnNewDocument", source=MANY)
            pictures = []
            for _ in range(options.rounds):
                url = mesh.cli("dashboard").stdout.strip()
                browser.open("about:blank")
                browser.open(url)
                wait(browser, "document.querySelectorAll('.node').length >= 8 && window.firstPicture")
                pictures.append(browser.run("window.firstPicture"))
            print(f"first picture: {statistics.median(pictures):.0f} ms (most {max(pictures):.0f})")
            browser.run("[...document.querySelectorAll('button')].find((b) => b.textContent === 'Group by namespace').click(); 1")
            wait(browser, "document.querySelectorAll('.node').length === 200")
            found = browser.run(MOVE.replace("SECONDS", str(options.seconds)))
            print(f"200 services, moved: {found['perSecond']:.1f} frames a second; a frame takes {found['p99']:.0f} ms at p99, "
                  f"{found['slowest']:.0f} ms at most")
        finally:
            browser.close()
            mesh.stop()


if __name__ == "__main__":
    main()
