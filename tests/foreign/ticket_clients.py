"""Works in ServiceNow, Jira or Zammad with the client library of the vendor: pysnc, jira or zammad-py.

Usage: ticket_clients.py SYSTEM URL USER SECRET COMMAND [ARGUMENTS]

SYSTEM is `servicenow`, `servicenow_csm`, `jira` or `zammad`. The commands are:

    exercise        Creates, reads, changes, finds and closes tickets, and checks every result. Prints the number of
                    operations as JSON.
    open COUNT      Opens tickets with the titles `Printer 1`, `Printer 2`, ... and prints their ids as JSON list.
    state           Prints the status of every ticket as JSON object.
    set ID STATUS   Changes the status of a ticket, as a person does.
    notes ID        Prints the work notes of a record of ServiceNow as JSON text.

The environment variable PROJECT is the key of the project of Jira, by default `ITSM`.
"""

import json
import os
import sys
from collections import Counter
from datetime import datetime, timezone
from urllib.parse import urlsplit

PAGE = 5
COUNT = 3 * PAGE + 2
TEXT = "No paper — 卡纸 & <b>\"jam\"</b>"


def expect(actual, expected, subject):
    if actual != expected:
        raise AssertionError(f"{subject}: expected {expected!r}, got {actual!r}")


def expect_error(kind, action, subject, *parts):
    try:
        action()
    except kind as error:
        for part in parts:
            if part not in str(error):
                raise AssertionError(f"{subject}: {part!r} is not in {error}") from error
        return error
    raise AssertionError(f"{subject}: no {kind.__name__}")


class ServiceNow:
    """Incidents. The id is the sys_id, and the status is the number of the state."""

    done, open_status, missing = "7", "2", "0" * 32
    table = "incident"

    def __init__(self, url, user, secret):
        import pysnc
        import requests
        from requests.adapters import HTTPAdapter

        class Plain(HTTPAdapter):
            """Sends requests for https URLs by HTTP. pysnc rejects http URLs, and imitations have no certificate."""

            def send(self, request, *arguments, **named):
                request.url = request.url.replace("https://", "http://", 1)
                return super().send(request, *arguments, **named)

        session = requests.Session()
        session.auth = (user, secret)
        if url.startswith("http://"):
            url = url.replace("http://", "https://", 1)
            session.mount(url, Plain())
        self.library = pysnc
        self.client = pysnc.ServiceNowClient(url.rstrip("/"), session, auto_retry=False)

    def incidents(self, batch_size=100):
        return self.client.GlideRecord(self.table, batch_size=batch_size)

    def one(self, record):
        incident = self.incidents()
        return incident if incident.get(record) else None

    def open(self, title, text=""):
        incident = self.incidents()
        incident.initialize()
        incident.short_description = title
        incident.description = text
        incident.caller_id = "lisi"
        return str(incident.insert())

    def title(self, record):
        return self.one(record).get_value("short_description")

    def text(self, record):
        return self.one(record).get_value("description")

    def version(self, record):
        return int(self.one(record).get_value("sys_mod_count"))

    def status(self, record):
        return self.one(record).get_value("state")

    def rename(self, record, title):
        incident = self.one(record)
        incident.short_description = title
        expect(str(incident.update()), record, "the id of an updated record")

    def set(self, record, status):
        incident = self.one(record)
        incident.state = status
        if status in ("6", "7"):
            incident.close_code = "Solution provided"
            incident.close_notes = "The problem is solved."
        incident.update()

    def comment(self, record, text):
        incident = self.one(record)
        incident.comments = text
        incident.update()

    def comments(self, record):
        # Journal fields have only a display value. The newest entry is first.
        shown = self.one(record).get_display_value("comments") or ""
        return [entry.split("\n", 1)[1] for entry in reversed(shown.split("\n\n")) if entry]

    def notes(self, record):
        return self.one(record).get_display_value("work_notes") or ""

    def find(self, since, page):
        """Returns the changed tickets in pages, oldest first, and the number of tickets that the system names."""
        incidents = self.incidents(batch_size=page)
        incidents.add_query("sys_updated_on", ">=", since.strftime("%Y-%m-%d %H:%M:%S"))
        incidents.order_by("sys_updated_on")
        incidents.query()
        total = len(incidents)
        # The iteration returns the same object for each record, so the values are read at once.
        return [(one.get_value("sys_id"), one.get_value("state")) for one in incidents], total

    def all(self):
        incidents = self.incidents()
        incidents.query()
        return {one.get_value("sys_id"): one.get_value("state") for one in incidents}

    def special(self, record, wrong):
        """Checks abilities that only this system has. Returns the number of checks."""
        expect(self.one(self.missing), None, "a record that does not exist")
        incident = self.one(record)
        expect(incident.get_display_value("state"), "In Progress", "the label of the state")
        incident.state = "6"
        kind = self.library.exceptions.RoleException
        expect_error(kind, incident.update, "a resolution without a code", "Data Policy Exception", "Resolution code")
        expect(self.status(record), "2", "the state after a rejected update")
        # The Batch API: update_multiple and delete_multiple.
        prefix = "Batch "
        created = [self.open(f"{prefix}{number}") for number in range(4)]
        batch = self.incidents()
        batch.add_query("short_description", "STARTSWITH", prefix)
        condition = batch.add_query("state", "1")
        condition.add_or_condition("state", "2")
        batch.query()
        for one in batch:
            one.urgency = "1"
        expect(batch.update_multiple(), True, "update_multiple")
        expect({self.one(one).get_value("urgency") for one in created}, {"1"}, "values after update_multiple")
        batch = self.incidents()
        batch.add_query("sys_id", "IN", ",".join(created))
        expect(batch.delete_multiple(), True, "delete_multiple")
        expect([self.one(one) for one in created], [None] * 4, "records after delete_multiple")
        limited = self.incidents(batch_size=2)
        limited.fields = ["number", "state"]
        # A limit of 3 would return 4 records: pysnc counts one record less before it requests the next page.
        limited.limit = 4
        limited.order_by_desc("number")
        limited.query()
        numbers = [one.get_value("number") for one in limited]
        expect(numbers, sorted(numbers, reverse=True), "the order of numbers")
        expect(len(numbers), 4, "the limit")
        error = self.library.exceptions.AuthenticationException
        expect_error(error, lambda: wrong.one(record), "a wrong password", "User Not Authenticated")
        return 9


class ServiceNowCsm(ServiceNow):
    """Customer service cases, which have other states than incidents."""

    done, open_status = "3", "10"
    table = "sn_customerservice_case"

    def set(self, record, status):
        case = self.one(record)
        case.state = status
        case.update()

    def special(self, record, wrong):
        """Checks abilities that only this system has. Returns the number of checks."""
        expect(self.one(self.missing), None, "a record that does not exist")
        case = self.one(record)
        expect(case.get_value("number")[:2], "CS", "the beginning of the number")
        expect(case.get_display_value("state"), "Open", "the label of the state")
        case.work_notes = "an internal note"
        case.update()
        expect("an internal note" in self.notes(record), True, "the work note")
        error = self.library.exceptions.AuthenticationException
        expect_error(error, lambda: wrong.one(record), "a wrong password", "User Not Authenticated")
        return 5


class Jira:
    """Issues. The id is the numeric id, and the status is the id of the status."""

    done, open_status, missing = "6", "3", "99999"

    def __init__(self, url, user, secret):
        import jira

        self.library, self.project = jira, os.environ.get("PROJECT", "ITSM")
        self.connect = lambda: jira.JIRA(url, basic_auth=(user, secret), max_retries=0)
        self.connected = None

    @property
    def client(self):
        # The constructor of the library sends a request, so a wrong password fails there.
        self.connected = self.connected or self.connect()
        return self.connected

    def open(self, title, text=""):
        fields = {"project": {"key": self.project}, "issuetype": {"name": "Incident"}, "summary": title}
        issue = self.client.create_issue(fields={**fields, "description": text, "priority": {"name": "High"}})
        expect(issue.fields.summary, title, "the title of a new issue")
        return issue.id

    def title(self, record):
        return self.client.issue(record, fields="summary").fields.summary

    def text(self, record):
        return self.client.issue(record).fields.description

    def version(self, record):
        return self.client.issue(record).fields.updated

    def status(self, record):
        return self.client.issue(record).fields.status.id

    def rename(self, record, title):
        issue = self.client.issue(record)
        issue.update(summary=title)
        expect(issue.fields.summary, title, "the title after an update")

    def set(self, record, status, comment=None):
        transitions = self.client.transitions(record)
        found = [one["id"] for one in transitions if status in (one["to"]["id"], one["to"]["name"])]
        if not found:
            raise SystemExit(f"issue {record} has no transition to status {status}")
        self.client.transition_issue(record, found[0], comment=comment)

    def comment(self, record, text):
        expect(self.client.add_comment(record, text).body, text, "a new comment")

    def comments(self, record):
        return [comment.body for comment in self.client.comments(record)]

    def find(self, since, page):
        """Returns the changed tickets in pages, oldest first, and the number of tickets that the system names."""
        # JQL has no seconds.
        query = f'project = {self.project} AND updated >= "{since:%Y-%m-%d %H:%M}" ORDER BY updated ASC'
        found, total = [], None
        while total is None or len(found) < total:
            part = self.client.search_issues(query, startAt=len(found), maxResults=page, fields="status")
            total = part.total
            if not part:
                break
            found += [(issue.id, issue.fields.status.id) for issue in part]
        return found, total

    def all(self):
        issues = self.client.search_issues(f"project = {self.project}", maxResults=False, fields="status")
        return {issue.id: issue.fields.status.id for issue in issues}

    def special(self, record, wrong):
        """Checks abilities that only this system has. Returns the number of checks."""
        error = self.library.JIRAError
        missing = expect_error(error, lambda: self.client.issue(self.missing), "an unknown issue", "Does Not Exist")
        expect(missing.status_code, 404, "the status of the response for an unknown issue")
        invalid = expect_error(error, lambda: self.client.transition_issue(record, "41"), "a transition", "not valid")
        expect(invalid.status_code, 400, "the status of the response for a transition that is not possible")
        issue = self.client.issue(record)
        expect_error(error, lambda: issue.update(fields={"status": {"id": "5"}}), "a status as field", "cannot be set")
        expanded = self.client.issue(issue.key, expand="transitions")
        names = sorted(one["name"] for one in expanded.raw["transitions"])
        expect(names, ["Close", "Resolve"], "the transitions of an issue in progress")
        issue.update(comment="by update", labels=[{"add": "printer"}])
        expect(issue.fields.labels, ["printer"], "the labels")
        expect(self.comments(record)[-1], "by update", "the comment of an update")
        # The client changes the status by the name of a transition, with a comment.
        self.client.transition_issue(record, "resolve", comment="resolved")
        expect(self.comments(record)[-1], "resolved", "the comment of a transition")
        self.client.transition_issue(record, "Reopen")
        self.client.transition_issue(record, "Start progress")
        expect(self.status(record), "3", "the status after three transitions")
        posted = self.client.search_issues(f"key = {issue.key}", use_post=True)
        expect([one.id for one in posted], [record], "a search by POST")
        everything = self.client.search_issues("", maxResults=False)
        expect(len(everything), everything.total, "the number of issues of a search in batches")
        expect_error(error, lambda: self.client.search_issues("colour = red"), "an unknown field", "does not exist")
        expect_error(error, lambda: wrong.client, "a wrong password", "401")
        return 11


class Zammad:
    """Tickets. The id is the numeric id as text, and the status is the name of the state."""

    done, open_status, missing = "closed", "open", "99999"

    def __init__(self, url, user, secret):
        import requests
        import zammad_py

        # The errors of the library have no response, so only their text is checked.
        self.error, self.user = requests.exceptions.HTTPError, user
        self.client = zammad_py.ZammadAPI(url=url.rstrip("/") + "/api/v1/", username=user, password=secret)
        # A new object has pages of 10 tickets. `find` and `create` return ids instead of names.
        self.states = None

    def name(self, state):
        self.states = self.states or {one["id"]: one["name"] for one in self.client.ticket_state.all()}
        return self.states[state]

    def open(self, title, text=""):
        article = {"subject": title, "body": text or title, "type": "note", "internal": False}
        customer = "guess:lisi@example.com"
        ticket = {"title": title, "group": "Users", "customer_id": customer, "priority": "3 high", "article": article}
        created = self.client.ticket.create(params=ticket)
        expect(len(created["article_ids"]), 1, "the articles of a new ticket")
        return str(created["id"])

    def title(self, record):
        return self.client.ticket.find(record)["title"]

    def text(self, record):
        return self.client.ticket.articles(record)[0]["body"]

    def version(self, record):
        return self.client.ticket.find(record)["updated_at"]

    def status(self, record):
        return self.name(self.client.ticket.find(record)["state_id"])

    def rename(self, record, title):
        updated = self.client.ticket.update(id=record, params={"title": title})
        expect(updated["title"], title, "the title after an update")

    def set(self, record, status):
        change = {"state": status}
        if status.startswith("pending"):
            change["pending_time"] = "2030-01-01T08:00:00Z"
        self.client.ticket.update(id=record, params=change)

    def comment(self, record, text):
        article = {"ticket_id": int(record), "subject": "Note", "body": text, "type": "note", "internal": False}
        expect(self.client.ticket_article.create(params=article)["body"], text, "a new article")

    def comments(self, record):
        return [article["body"] for article in self.client.ticket.articles(record)][1:]

    def pages(self, first):
        """Returns the tickets of all pages. The iteration of a page ends with the page."""
        page, found = first, list(first)
        while not page.is_last_page():
            page = page.next_page()
            found += list(page)
        return found

    def find(self, since, page):
        """Returns the changed tickets in pages, oldest first, and the number of tickets that the system names."""
        query = f'updated_at:>="{since:%Y-%m-%dT%H:%M:%SZ}"'
        filters = {"per_page": page, "sort_by": "updated_at", "order_by": "asc"}
        found = self.pages(self.client.ticket.search(query, filters=filters))
        for one in found:
            expect(one["customer"], "lisi@example.com", "the customer of a found ticket")
        return [(str(one["id"]), one["state"]) for one in found], len(found)

    def all(self):
        # Zammad returns at most 100 tickets. A larger `per_page` makes the library stop after the first page.
        found = self.pages(self.client.ticket.all(filters={"per_page": 100}))
        return {str(one["id"]): one["state"] for one in found}

    def special(self, record, wrong):
        """Checks abilities that only this system has. Returns the number of checks."""
        expect_error(self.error, lambda: self.client.ticket.find(self.missing), "an unknown ticket", "Couldn't find")
        expect(self.client.user.me()["login"], self.user, "the account")
        unknown = {"state": "no such state"}
        update = lambda change: self.client.ticket.update(id=record, params=change)  # noqa: E731
        expect_error(self.error, lambda: update(unknown), "an unknown state", "No lookup value found")
        expect_error(self.error, lambda: update({"state": "pending reminder"}), "a missing time", "pending_time")
        note = {"subject": "Note", "body": "by update", "type": "note", "internal": True}
        expect(update({"state_id": 2, "article": note})["state_id"], 2, "the state by its id")
        last = self.client.ticket.articles(record)[-1]
        expect((last["body"], last["internal"]), ("by update", True), "the article of an update")
        temporary = self.open("Temporary")
        self.client.ticket.destroy(temporary)
        expect_error(self.error, lambda: self.client.ticket.find(temporary), "a deleted ticket", "Couldn't find")
        found = self.client.ticket.search("state.name:open", filters={"per_page": 200})
        expect({one["state"] for one in found}, {"open"}, "the states of found tickets")
        expect_error(self.error, lambda: wrong.client.ticket.find(record), "a wrong password", "BasicAuth")
        return 9


SYSTEMS = {"servicenow": ServiceNow, "servicenow_csm": ServiceNowCsm, "jira": Jira, "zammad": Zammad}


def exercise(system, wrong):
    operations = Counter()

    def run(name, *arguments):
        operations[name] += 1
        return getattr(system, name)(*arguments)

    since = datetime.now(timezone.utc).replace(microsecond=0)
    before = set(run("all"))
    records = [run("open", f"Exercise {number}", TEXT) for number in range(COUNT)]
    expect(len(set(records) - before), COUNT, "the number of new ids")
    first, second = records[:2]
    expect(run("title", first), "Exercise 0", "the title")
    expect(run("text", first), TEXT, "the text")

    version = run("version", first)
    run("rename", first, "Exercise 0 — 改")
    expect(run("title", first), "Exercise 0 — 改", "the changed title")
    # The version of Jira and Zammad is a time in milliseconds, so two changes can have the same version.
    if system.version(first) < version:
        raise AssertionError("the version decreased")

    run("set", first, system.open_status)
    expect(run("status", first), system.open_status, "the status")
    for text in ("first note", "second note: 完成"):
        run("comment", first, text)
    expect(run("comments", first)[-2:], ["first note", "second note: 完成"], "the comments")

    found, total = run("find", since, PAGE)
    own = [record for record, _ in found if record in set(records)]
    expect(len(own), len(set(own)), "the number of found tickets without repetitions")
    expect(set(own), set(records), "the found tickets")
    expect(len(found), total, "the number of found tickets")
    expect(dict(found)[first], system.open_status, "the status of a found ticket")
    operations["pages"] = -(-total // PAGE)

    operations["special"] = system.special(first, wrong)
    run("set", second, system.done)
    expect(run("status", second), system.done, "the status of a closed ticket")
    states = run("all")
    expect(states[second], system.done, "the status of a closed ticket in the list")
    expect(set(records) - set(states), set(), "the tickets that the list lacks")
    return operations


def main():
    if len(sys.argv) < 6 or sys.argv[1] not in SYSTEMS:
        raise SystemExit(__doc__)
    name, url, user, secret, command, *arguments = sys.argv[1:]
    if not urlsplit(url).hostname:
        raise SystemExit(f"{url} is not a URL")
    system = SYSTEMS[name](url, user, secret)
    match command, arguments:
        case "exercise", []:
            print(json.dumps(exercise(system, SYSTEMS[name](url, user, secret + "x"))))
        case "open", [count]:
            print(json.dumps([system.open(f"Printer {number}") for number in range(1, int(count) + 1)]))
        case "state", []:
            print(json.dumps(system.all()))
        case "set", [record, status]:
            system.set(record, status)
        case "notes", [record] if isinstance(system, ServiceNow):
            print(json.dumps(system.notes(record)))
        case _:
            raise SystemExit(__doc__)


if __name__ == "__main__":
    main()
