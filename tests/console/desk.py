"""Helpers for the browser tests of the console: requests to /v1, browsers with a watch for problems, and a report."""
import base64
import contextlib
import json
import os
import pathlib
import re
import shutil
import socket
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

APP = "demo_app:demo-secret-for-trials-only"
TIMEOUT_S = 10
POLL_S = 0.02
PAGE_BYTES_MAX = 60_000
WIDE = {"width": 1280, "height": 800}
PHONE = {"width": 360, "height": 740}
LOCALES = {"zh-CN": "zh-CN", "en": "en-US"}
AXE = pathlib.Path(__file__).resolve().parents[2] / "target/console/node_modules/axe-core/axe.min.js"

# Chromium writes a violation of the content security policy to the console. This script adds the blocked address.
REPORT_VIOLATIONS = """
addEventListener('securitypolicyviolation', (event) =>
  console.error(`policy violation: ${event.violatedDirective} blocks ${event.blockedURI || event.sample}`));
"""


class Overdue(Exception):
    """A condition was not met before its deadline."""


def until(what, condition, page=None, seconds=TIMEOUT_S):
    """Repeats `condition` until its result is true, and returns the result. `page` handles its events between two attempts."""
    deadline = time.monotonic() + seconds
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            raise Overdue(f"{what}: not true after {seconds} s")
        if page:
            page.wait_for_timeout(POLL_S * 1000)
        else:
            time.sleep(POLL_S)


class Desk:
    """The desk under test, used over /v1 by the demo app."""

    def __init__(self, base):
        self.base = base.rstrip("/")

    def call(self, user, method, path, body=None):
        """Sends one request for `user`, and returns the status and the JSON body."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.base}/v1/{path}", data=data, method=method)
        request.add_header("Authorization", "Basic " + base64.b64encode(APP.encode()).decode())
        request.add_header("X-On-Behalf-Of", user)
        request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read() or b"{}")

    def must(self, user, method, path, body=None):
        status, answer = self.call(user, method, path, body)
        if status >= 300:
            raise RuntimeError(f"{method} /v1/{path} as {user}: {status} {answer}")
        return answer

    def get(self, user, path):
        return self.must(user, "GET", path)

    def post(self, user, path, body=None):
        return self.must(user, "POST", path, body or {})

    def submit(self, service, title, user="lisi", **fields):
        """Submits a ticket, and returns its number and its id."""
        answer = self.post(user, "tickets", {"service_id": service, "fields": {"title": title, **fields}})
        return answer["sn"], answer["id"]

    def approval(self, title, approvers="zhangsan", content="content", user="lisi"):
        """Submits a ticket with one approval node. One of the approvers decides. Returns the ticket number."""
        return self.submit(1, title, user, APPROVER=approvers, APPROVAL_CONTENT=content)[0]

    def two_steps(self, title, approver="zhangsan", content="content"):
        """Submits a ticket that needs the vote of the approver and then the vote of admin. Returns the ticket number."""
        fields = {"apply_content": content, "impact": "1", "urgency": "2", "ZHIDINGSHENPIREN": approver}
        return self.submit(22, title, **fields)[0]

    def change(self, title, content="content"):
        """Submits a ticket on which zhangsan, zhoujiu and wushi vote together. Returns the ticket number."""
        fields = {
            "impact": "3",
            "urgency": "2",
            "BIANGENGLEIXING": "APP,DB",
            "BIANGENGSHIJIAN": "2026-12-01 10:00:00",
            "BIANGENGFANGAN": content,
        }
        return self.submit(20, title, **fields)[0]

    def events(self, sn, kind=None):
        events = [event["event"] for event in self.get("admin", f"tickets/{sn}/events")["events"]]
        return [event for event in events if kind in (None, event["type"])]

    def votes(self, sn):
        return len(self.events(sn, "ticket.vote_cast"))

    def count(self, user, name):
        """Returns the length of a list of `user`."""
        return self.get(user, f"tickets?list={name}")["count"]

    def invitation(self, user):
        return self.post("admin", f"people/{user}/invitation")["link"]


class Report:
    """Counts checks, and collects the failed ones."""

    def __init__(self, out):
        self.out = out
        self.checks = 0
        self.problems = []
        self.shots = 0
        self.scenario = ""

    def problem(self, text):
        problem = f"{self.scenario}: {text}"
        if problem not in self.problems:
            self.problems.append(problem)
            print(f"PROBLEM {problem}", flush=True)

    def check(self, is_true, what):
        self.checks += 1
        if not is_true:
            self.problem(what)
        return bool(is_true)

    def equal(self, actual, expected, what):
        return self.check(actual == expected, f"{what}: {actual!r} instead of {expected!r}")

    def contains(self, text, part, what):
        return self.check(part in text, f"{what}: {part!r} is not in {text[:300]!r}")

    def soon(self, what, condition, page=None, seconds=TIMEOUT_S):
        """Checks that a condition becomes true before a deadline."""
        try:
            until(what, condition, page, seconds)
        except Overdue as overdue:
            return self.check(False, str(overdue))
        return self.check(True, what)

    def shot(self, page, name):
        """Stores a picture of the whole page as a file of the run."""
        page.screenshot(path=self.out / f"{name}.png", full_page=True)
        self.shots += 1


class Watch:
    """Reports every problem that a browser context has: errors of scripts, violations of the policy, failed requests
    and requests to other sites."""

    def __init__(self, desk, report, context):
        self.report = report
        # The addresses of the desk.
        self.bases = [desk.base]
        self.statuses = ()
        self.may_disconnect = False
        self.collected = None
        context.add_init_script(REPORT_VIOLATIONS)
        context.on("console", self.console)
        context.on("weberror", lambda error: self.problem(f"script error: {error.error}"))
        context.on("request", self.request)
        context.on("requestfailed", self.failed)
        context.on("response", self.response)

    def problem(self, text):
        if self.collected is None:
            self.report.problem(text)
        else:
            self.collected.append(text)

    def console(self, message):
        # The events of requests and responses have more detail than this message.
        if message.type == "error" and not message.text.startswith("Failed to load resource"):
            self.problem(f"console error on {message.location.get('url')}: {message.text}")

    def request(self, request):
        own = tuple(base + "/" for base in self.bases)
        if not request.url.startswith((*own, "data:", "blob:")):
            self.problem(f"request to another site: {request.url}")

    def failed(self, request):
        # A page that is left ends its requests, and its stream of changes.
        failure = str(request.failure)
        if "ERR_ABORTED" not in failure and not self.may_disconnect:
            self.problem(f"failed request: {request.method} {request.url}: {failure}")

    def response(self, response):
        if response.status >= 400 and response.status not in self.statuses:
            self.problem(f"{response.request.method} {response.url} has status {response.status}")

    @contextlib.contextmanager
    def expects(self, *statuses):
        """Allows responses with these statuses until the block ends."""
        before, self.statuses = self.statuses, statuses
        try:
            yield
        finally:
            self.statuses = before

    @contextlib.contextmanager
    def disconnects(self):
        """Allows failed requests until the block ends."""
        self.may_disconnect = True
        try:
            yield
        finally:
            self.may_disconnect = False

    @contextlib.contextmanager
    def collects(self):
        """Collects all problems in a list, without a report, until the block ends."""
        self.collected = []
        try:
            yield self.collected
        finally:
            self.collected = None


class Wire:
    """A connection to the desk that can be cut. Browsers use the address `base` instead of the address of the desk."""

    def __init__(self, desk):
        target = urllib.parse.urlsplit(desk.base)
        self.target = (target.hostname, target.port)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.base = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.is_cut = False
        self.sockets = set()
        self.lock = threading.Lock()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                browser, _ = self.listener.accept()
            except OSError:
                return
            with self.lock:
                if self.is_cut:
                    browser.close()
                    continue
                desk = socket.create_connection(self.target, TIMEOUT_S)
                desk.settimeout(None)
                self.sockets |= {browser, desk}
            for source, sink in ((browser, desk), (desk, browser)):
                threading.Thread(target=self.copy, args=(source, sink), daemon=True).start()

    def copy(self, source, sink):
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                sink.sendall(data)
        for one in (source, sink):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        with self.lock:
            self.sockets.discard(source)

    def cut(self):
        """Ends all connections, and rejects new ones until `restore`."""
        with self.lock:
            self.is_cut = True
            for one in self.sockets:
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)

    def restore(self):
        self.is_cut = False

    def close(self):
        self.cut()
        self.listener.close()


class Browser:
    """Debian's chromium, with one context for each person, language and kind of browser."""

    def __init__(self, playwright, desk, report, password):
        self.desk, self.report, self.password = desk, report, password
        program = shutil.which("chromium")
        if not program:
            raise SystemExit("chromium is not on PATH: run tests/console/install")
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        self.chromium = playwright.chromium.launch(executable_path=program, args=arguments)
        self.known = {}

    def context(self, lang, **options):
        """Opens a new browser in the given language. Its member `watch` reports its problems."""
        options = {"viewport": WIDE, "reduced_motion": "reduce", **options}
        context = self.chromium.new_context(locale=LOCALES[lang], **options)
        context.set_default_timeout(TIMEOUT_S * 1000)
        context.watch = Watch(self.desk, self.report, context)
        return context

    def log_in(self, page, user, password=None):
        """Fills in the login page that is open."""
        page.fill("#user", user)
        page.fill("#password", password or self.password)
        page.click("#login button")

    def person(self, user, lang, place="", **options):
        """Returns the page of a person who is logged in. Each `place` is a browser of its own."""
        key = (user, lang, place)
        if key not in self.known:
            context = self.context(lang, **options)
            page = context.new_page()
            page.goto(self.desk.base + "/login")
            self.log_in(page, user)
            page.wait_for_selector(".person .name", state="attached")
            self.known[key] = page
        return self.known[key]

    def leave(self, lang):
        """Closes the browsers of all people in a language."""
        for key in [key for key in self.known if key[1] == lang]:
            self.known.pop(key).context.close()


def path_of(page):
    """Returns the path and the query of the address of a page."""
    url = urllib.parse.urlsplit(page.url)
    return url.path + (f"?{url.query}" if url.query else "")


def mark(page):
    """Marks the loaded page, so that a later check can see whether the page was loaded again."""
    page.evaluate("() => { window.isSamePage = true; }")


def is_marked(page):
    return page.evaluate("() => window.isSamePage === true")


def main_text(page):
    return page.locator("#main").inner_text()


def cookies(context):
    return {cookie["name"]: cookie for cookie in context.cookies()}


def form_code(html):
    """Returns the code of the session in the forms of a page."""
    found = re.search(r'name="form_code" value="([0-9a-f]+)"', html)
    return found.group(1) if found else ""


def hidden_fields(page, form):
    """Returns the hidden fields of a form as a dictionary."""
    inputs = page.locator(f"{form} input[type=hidden]").evaluate_all("(all) => all.map((one) => [one.name, one.value])")
    return dict(inputs)


def axe(page):
    """Returns the serious and critical violations that axe-core finds on the page."""
    if not page.evaluate("() => typeof window.axe === 'object'"):
        page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("() => axe.run(document, { resultTypes: ['violations'] })")
    return [
        f"{one['id']}: {node['html'][:160]} {' '.join(node['failureSummary'].split())[:300]}"
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"][:3]
    ]


def overflow(page):
    """Returns the number of pixels by which the page is wider than the window, and the elements that cause this."""
    return page.evaluate(
        """() => {
          const width = document.documentElement.clientWidth;
          const isWide = (one) => one.getBoundingClientRect().right > width + 1 || one.scrollWidth > one.clientWidth + 1;
          const wide = [...document.querySelectorAll('main *, header, header *')].filter((one) =>
            isWide(one) && !one.closest('.picture') && !one.closest('.unseen') && getComputedStyle(one).display !== 'inline');
          const names = wide.map((one) => `${one.tagName}.${one.className} ${one.textContent.trim().slice(0, 40)}`);
          return [document.documentElement.scrollWidth - innerWidth, names.slice(-3)];
        }"""
    )


def misplaced(page):
    """Returns the values of a table on a phone that are not in the column beside the labels."""
    return page.evaluate(
        """() => {
          const found = [];
          for (const cell of document.querySelectorAll('table.list td')) {
            if (getComputedStyle(cell).display === 'table-cell') continue;
            const labels = cell.getBoundingClientRect().left + 100;
            for (const node of cell.childNodes) {
              const range = document.createRange();
              range.selectNode(node);
              const text = node.textContent.trim();
              if (text && range.getBoundingClientRect().left < labels) found.push(`${cell.dataset.label}: ${text}`);
            }
          }
          return found.slice(0, 5);
        }"""
    )
