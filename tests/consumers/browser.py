"""A real Chromium in a host of a lab, driven by Playwright in a process of its own.

A test has `Browser`, and calls methods of Playwright's page by their names: ``browser.call("click", "#doctor")``,
``browser.call("keyboard.press", "Enter")``. The process is this file, run by the Python that has Playwright:

    python tests/consumers/browser.py /usr/bin/chromium

It reads a call a line, ``["click", ["#doctor"], {}]``, and answers each by a line, ``{"ok": ...}`` or ``{"error": "..."}``.
"""

import json
import subprocess
import sys
from pathlib import Path
from time import monotonic

HERE = Path(__file__)
PATIENCE = 15_000
"""Milliseconds after which Playwright takes a page for stuck."""
ARGUMENTS = (
    "--no-sandbox", "--disable-dev-shm-usage",  # run by root, in a namespace
    "--host-resolver-rules=MAP stranger.example 127.0.0.1",  # as DNS rebinding does it
)  # fmt: skip


class Browser:
    """A page in a browser.

    Args:
        host: of a lab.
        python: that has Playwright.
        chromium: the program.
    """

    def __init__(self, host, python, chromium, env=None):
        self._process = host.popen(
            str(python), str(HERE), str(chromium), stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.stdin.close()
        self._process.wait(20)

    def call(self, name, *arguments, **named):
        """Call a method of the page, and give what it returns, if that is JSON."""
        self._process.stdin.write(json.dumps([name, arguments, named]) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, f"the browser ended in {name}"
        found = json.loads(answer)
        assert "error" not in found, f"{name}{arguments}: {found['error']}"
        return found["ok"]

    def open(self, url, **context):
        """Open a URL in a new context, with nothing that another has stored; give the status of the answer."""
        return self.call("open", url, **context)

    def texts(self, selector):
        """Give the texts of all elements that are shown."""
        script = "found => found.filter(one => one.checkVisibility()).map(one => one.innerText)"
        return self.call("eval_on_selector_all", selector, script)

    def until(self, expression, *arguments):
        """Wait until an expression of JavaScript holds."""
        self.call("until", expression, *arguments)


class Driver:
    """The other side: the calls, and what a test asks for besides."""

    def __init__(self, browser):
        self._browser = browser
        self._context = None
        self.page = None
        self.said = []

    def open(self, url, **context):
        if self._context is not None:
            self._context.close()
        self.said.clear()
        self._context = self._browser.new_context(**context)
        self._context.set_default_timeout(PATIENCE)
        self.page = self._context.new_page()
        self.page.on("console", lambda message: self.said.append(f"{message.type}: {message.text} {message.location['url']}"))
        self.page.on("pageerror", lambda error: self.said.append(f"error: {error}"))
        self.page.on("dialog", lambda dialog: (self.said.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        answer = self.page.goto(url)
        return answer.status

    def console(self):
        """Give what the console has said since `open`."""
        return self.said

    def until(self, expression, *arguments):
        """Wait for an expression; the policy of the page forbids how Playwright itself would wait."""
        deadline = monotonic() + PATIENCE / 1000
        while not self.page.evaluate(expression, *arguments):
            if monotonic() > deadline:
                raise TimeoutError(f"{self.page.inner_text('body')}\n{self.said}")
            self.page.wait_for_timeout(20)

    def forgive(self):
        """Forget what the console has said, which was to be expected."""
        self.said.clear()

    def accessibility(self):
        """Give what axe has to say: the rules that are broken, each with the elements."""
        from axe_playwright_python.sync_playwright import Axe

        found = Axe().run(self.page, options={"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]})
        return [f"{one['id']}: {node['html']}: {node['failureSummary']}" for one in found.response["violations"] for node in one["nodes"]]

    def perform(self, name, arguments, named):
        if hasattr(self, name):
            return getattr(self, name)(*arguments, **named)
        target = self.page
        for part in name.split("."):
            target = getattr(target, part)
        return target(*arguments, **named)


def main(chromium):
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        driver = Driver(browser)
        for line in sys.stdin:
            try:
                found = driver.perform(*json.loads(line))
                answer = {"ok": found if isinstance(found, (str, int, float, bool, list, dict)) else None}
            except Exception as error:
                answer = {"error": str(error)}
            print(json.dumps(answer), flush=True)
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1])
