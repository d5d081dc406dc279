"""The page of a search in a real browser: everything plays, and nothing asks the network."""

import base64
import contextlib
import io
import json
import os
import select
import shutil
import subprocess
import sys
import time

import numpy as np
import PIL.Image
import pytest

from cvrl_jax.search.page import Card, Search, write_page

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-pipe",
)

AS_3_AND_4 = """
import os, sys
pipes = [os.dup(int(number)) for number in sys.argv[1:3]]
for number, pipe in enumerate(pipes, 3):
    os.dup2(pipe, number)
    os.set_inheritable(number, True)  # it may have been that number already
os.execvp(sys.argv[3], sys.argv[3:])
"""


def clip(colours):
    """A square that changes its colour from frame to frame."""
    return np.stack([np.full((48, 64, 3), colour, np.uint8) for colour in colours])


class Browser:
    """Chromium by its debugging pipe: JSON ended by a zero byte, in on 3, out on 4."""

    def __init__(self, profile):
        program = shutil.which("chromium") or shutil.which("google-chrome")
        if program is None:
            pytest.skip("no chromium here")
        (read_in, self._to), (self._of, write_out) = os.pipe(), os.pipe()

        self._process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                AS_3_AND_4,
                str(read_in),
                str(write_out),
                program,
                *FLAGS,
                f"--user-data-dir={profile}",
            ],
            pass_fds=(read_in, write_out),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(read_in)
        os.close(write_out)
        self._number, self._rest = 0, b""
        self.events = []

    def call(self, method, session=None, **parameters):
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        end = time.monotonic() + 120
        while time.monotonic() < end:
            while b"\0" in self._rest:
                line, _, self._rest = self._rest.partition(b"\0")
                answer = json.loads(line)
                if answer.get("id") == self._number:
                    return answer["result"]
                self.events.append(answer)
            if select.select([self._of], [], [], 1)[0]:
                self._rest += os.read(self._of, 2**16)
        raise AssertionError(f"no answer to {method}")

    def close(self):
        with contextlib.suppress(AssertionError, OSError):
            self.call("Browser.close")
        self._process.wait(30)
        os.close(self._to)
        os.close(self._of)


@pytest.fixture
def browser(tmp_path):
    browser = Browser(tmp_path / "profile")
    yield browser
    browser.close()


def test_every_preview_plays_and_nothing_is_fetched(browser, tmp_path):
    page = tmp_path / "neighbours.html"
    red, blue = (200, 30, 30), (30, 30, 200)
    found = [
        Card("b<&>.mp4", "cats", clip([blue, red] * 6), 8.0, 0.93),
        Card("c.mp4", "dogs", None, 0.0, 0.5),
    ]
    write_page(page, [Search(Card("a.mp4", "cats", clip([red, blue] * 6), 8.0), found)], "3 videos")
    target = browser.call("Target.createTarget", url="about:blank")["targetId"]
    session = browser.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
    browser.call("Network.enable", session)
    browser.call("Page.enable", session)
    browser.call("Page.navigate", session, url=page.as_uri())

    def value(expression):
        return browser.call("Runtime.evaluate", session, expression=expression)["result"]["value"]

    end = time.monotonic() + 60
    ready = "document.readyState === 'complete' && [...document.images].every(i => i.complete)"
    while not value(ready) and time.monotonic() < end:
        time.sleep(0.1)
    assert value("[...document.images].map(i => i.naturalWidth).join()") == "64,64"
    text = value("document.body.innerText")
    assert all(part in text for part in ("b<&>.mp4", "0.93", "cannot be read", "3 videos"))
    assert value("document.querySelectorAll('.right').length") == 1
    assert value("document.querySelectorAll('.wrong').length") == 1

    corner = json.loads(value("JSON.stringify(document.images[0].getBoundingClientRect())"))
    seen = set()
    while len(seen) < 2 and time.monotonic() < end:  # both colours, one after the other
        data = browser.call("Page.captureScreenshot", session)["data"]
        shot = PIL.Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")
        place = int(corner["x"] + corner["width"] / 2), int(corner["y"] + corner["height"] / 2)
        red_here, _, blue_here = shot.getpixel(place)
        seen.add("red" if red_here > blue_here else "blue")
    assert seen == {"red", "blue"}
    urls = [e["params"]["request"]["url"] for e in browser.events
            if e.get("method") == "Network.requestWillBeSent"]  # fmt: skip
    assert {url.partition(":")[0] for url in urls} <= {"file", "data"}
