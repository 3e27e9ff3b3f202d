#!/usr/bin/env python3
"""Tests the console of a served desk in Chromium, in Chinese and English.

usage: story.py BASE PASSWORD OUT [LANGUAGE...] [SCENARIO...]

BASE is the address of a desk with the demo company, PASSWORD the password of its people, OUT a folder for pictures.
Without names of scenarios, all scenarios run; without languages (zh-CN, en), both. The exit status is 1 if a check fails.
"""
import pathlib
import statistics
import sys
import time
import traceback
import urllib.parse

from playwright.sync_api import sync_playwright

from desk import (
    PAGE_BYTES_MAX,
    PHONE,
    WIDE,
    Browser,
    Desk,
    Report,
    Wire,
    axe,
    cookies,
    form_code,
    hidden_fields,
    is_marked,
    main_text,
    mark,
    misplaced,
    overflow,
    path_of,
    until,
)

VOTES_MEASURED = 10
KEYS_MAX = 60
LIST_ROWS = 25
FIRST_PAGE_REQUESTS_MAX = 3
FIRST_PAGE_BYTES_MAX = 100_000
WORDS = {
    "zh-CN": {
        "other": "en",
        "log_in": "登录",
        "work": "我的工作",
        "subscriptions": "我的订阅",
        "subscription_added": "订阅已保存。",
        "login_rejected": "用户名或密码错误",
        "approved": "已同意。",
        "finished": "已完成",
        "content_changed": "工单内容在您查看之后发生了变化",
        "lost_text": "您尚未提交的内容",
        "forbidden": "只有超级管理员可以查看这个页面",
        "bad_form": "提交的内容不完整",
        "other_site": "请求来自其他网站",
        "no_ticket": "没有这个工单",
        "too_short": "密码太短",
        "differ": "两次输入的密码不一致",
        "invitation_over": "这个邀请链接无效",
        "password_set": "密码已设置",
        "empty": "自动更新",
        "lists": {"/missions": "机器人任务", "/deliveries": "通知发送", "/executions": "自动化执行", "/applications": "外部审批"},
    },
    "en": {
        "other": "zh-CN",
        "log_in": "Log in",
        "work": "My work",
        "subscriptions": "My subscriptions",
        "subscription_added": "The subscription was stored.",
        "login_rejected": "The user name or the password is wrong",
        "approved": "You approved the ticket.",
        "finished": "Finished",
        "content_changed": "The content of the ticket changed",
        "lost_text": "The text that you did not send",
        "forbidden": "Only superusers may see this page",
        "bad_form": "The form is incomplete",
        "other_site": "The request came from another site",
        "no_ticket": "This ticket does not exist",
        "too_short": "The password is too short",
        "differ": "The two passwords are not equal",
        "invitation_over": "This invitation link is not valid",
        "password_set": "The password is set",
        "empty": "updates itself",
        "lists": {
            "/missions": "Robot missions",
            "/deliveries": "Deliveries",
            "/executions": "Executions",
            "/applications": "External approvals",
        },
    },
}
LISTS = ("todo", "approval", "claim", "created", "dealt", "following")
SCRIPT = "<script>window.hacked=1</script>"
IMAGE = '"><img src=x onerror=window.hacked=1>'
LONG = "W" * 120
RIGHT_TO_LEFT = "\u202eabc"
HOSTILE = f"{SCRIPT}{IMAGE}{{{{1234567*89}}}} ' & <b> {RIGHT_TO_LEFT}"
HOSTILE_SHORT = f"{SCRIPT}{IMAGE}{{{{1234567*89}}}}"


class Story:
    """The state of one run in one language."""

    def __init__(self, desk, report, browser, lang, run):
        self.desk, self.report, self.browser, self.lang = desk, report, browser, lang
        self.words = WORDS[lang]
        # A name that no other run uses, because a desk can be tested twice.
        self.run = run
        self.check, self.equal, self.contains, self.soon = report.check, report.equal, report.contains, report.soon

    def url(self, path):
        return self.desk.base + path

    def title(self, text):
        return f"{text} {self.lang} {self.run}"

    def person(self, user, place="", **options):
        return self.browser.person(user, self.lang, place, **options)

    def open(self, page, path):
        return page.goto(self.url(path))

    def message(self, page, part, what):
        """Checks the text of a message at the top of the page."""
        self.contains("\n".join(page.locator("#main > .message, .narrow > .message").all_inner_texts()), part, what)

    def vote(self, page, reason="", decision="approve"):
        if reason:
            page.fill(".turn textarea", reason)
        page.click(f".turn button[value={decision}]")


def instruments(story):
    """Makes problems on a page, and checks that the tests see them."""
    page = story.browser.context(story.lang).new_page()
    story.open(page, "/login")
    watch = page.context.watch
    page.evaluate("() => document.querySelector('label[for=user]').remove()")
    found = axe(page)
    story.check(any("label" in one for one in found), f"axe finds an input without a label: {found}")
    page.evaluate("() => { document.querySelector('h1').style.color = '#ddd'; }")
    story.check(any("color-contrast" in one for one in axe(page)), "axe finds a low contrast")
    page.set_viewport_size(PHONE)
    page.evaluate("() => { document.querySelector('h1').style.width = '500px'; }")
    story.check(overflow(page)[0] > 0, "a wide element is found")
    with watch.collects() as problems:
        page.evaluate(
            """() => {
              const script = document.createElement('script');
              script.textContent = 'window.hacked = 1';
              document.body.append(script);
              const image = document.createElement('img');
              image.src = 'http://127.0.0.1:9/x.png';
              document.body.append(image);
            }"""
        )
        for text in ("script-src-elem blocks inline", "img-src blocks http://127.0.0.1:9", "request to another site: http://127.0.0.1:9"):
            story.soon(f"the problem is reported: {text}", lambda: any(text in one for one in problems), page)
    story.check(page.evaluate("() => window.hacked === undefined"), "the policy blocks an inline script")
    page.context.close()
    return "6 made problems found"


def logins(story):
    desk, words = story.desk, story.words
    title = story.title("login")
    sn = desk.approval(title)
    context = story.browser.context(story.lang)
    page, watch = context.new_page(), context.watch
    story.open(page, f"/tickets/{sn}")
    story.equal(path_of(page), f"/login?next=%2Ftickets%2F{sn}", "a person without session gets the login page")
    story.equal(page.get_attribute("html", "lang"), story.lang, "the language of the browser is used")
    context.add_cookies([{"name": "ledgerdesk_session", "value": "fixed", "url": desk.base}])
    with watch.expects(403):
        story.browser.log_in(page, "lisi", "not-the-password")
        page.wait_for_selector(".message.bad")
    story.message(page, words["login_rejected"], "a wrong password is reported")
    story.equal(page.input_value("#user"), "lisi", "the user name stays in the form")
    story.equal(page.input_value("#password"), "", "the password does not stay in the form")
    page.click("form[action='/language'] button")
    page.wait_for_selector(f"html[lang='{words['other']}']")
    page.click("form[action='/language'] button")
    page.wait_for_selector(f"html[lang='{story.lang}']")
    story.browser.log_in(page, "lisi")
    page.wait_for_selector(".person .name")
    story.equal(path_of(page), f"/tickets/{sn}", "the login leads to the page that was asked for")
    cookie = cookies(context)["ledgerdesk_session"]
    story.check(cookie["value"] != "fixed", "a login creates a new session code")
    story.check(cookie["httpOnly"] and cookie["sameSite"] == "Lax", f"the cookie is protected: {cookie}")

    # Targets on other sites. The login page and the form field are checked.
    for target in ("//example.com", "https://example.com", "/\\example.com", "/%5Cexample.com", "javascript:alert(1)", "/%0a/example.com"):
        for query in {target, urllib.parse.quote(target, safe="")}:
            with watch.expects(404, 403):
                answer = context.request.get(story.url(f"/login?next={query}"), max_redirects=0)
            location = answer.headers.get("location", "")
            is_own = urllib.parse.urljoin(desk.base + "/", location).startswith(desk.base + "/")
            story.check(answer.status == 303 and is_own and "\\" not in location, f"next={query} leads to {location!r}")
    guest = story.browser.context(story.lang)
    second = guest.new_page()
    for target in ("//example.com", "https://example.com"):
        guest.clear_cookies()
        story.open(second, f"/login?next={urllib.parse.quote(target, safe='')}")
        second.evaluate("(target) => { document.querySelector('#login input[name=next]').value = target; }", target)
        story.browser.log_in(second, "lisi")
        second.wait_for_selector(".person .name")
        story.equal(second.url, story.url("/"), f"a login with next={target} stays on the desk")

    # The language switch.
    story.open(page, f"/tickets/{sn}")
    story.equal(page.inner_text("h1"), title, "the ticket is shown")
    page.click("form[action='/language'] button")
    page.wait_for_selector(f"html[lang='{words['other']}']")
    story.equal(path_of(page), f"/tickets/{sn}", "the language switch stays on the page")
    story.open(page, "/")
    story.equal(page.get_attribute("html", "lang"), words["other"], "the chosen language stays on the next page")
    story.contains(page.inner_text("h1"), WORDS[words["other"]]["work"], "the next page is in the chosen language")
    page.click("form[action='/language'] button")
    page.wait_for_selector(f"html[lang='{story.lang}']")

    # The old cookie after the logout.
    page.click("form[action='/logout'] button")
    page.wait_for_selector("#login")
    story.check("ledgerdesk_session" not in cookies(context), "the logout removes the cookie")
    page.go_back()
    page.wait_for_selector("#login")
    story.check(title not in main_text(page), "the previous page is not shown after the logout")
    guest.clear_cookies()
    guest.add_cookies([{"name": "ledgerdesk_session", "value": cookie["value"], "url": desk.base}])
    story.open(second, f"/tickets/{sn}")
    story.check(path_of(second).startswith("/login"), "the cookie is not valid after the logout")
    answer = guest.request.post(story.url(f"/tickets/{sn}/remark"), form={"text": "late", "form_code": "0"}, max_redirects=0)
    story.check(answer.status == 303 and "/login" in answer.headers["location"], "an old cookie cannot write")

    lockout(story, page)
    context.close()
    guest.close()
    return "8 targets on other sites, 5 wrong passwords"


def lockout(story, page):
    """Invites a person, sets the password, and locks the account with wrong passwords."""
    desk, words, watch = story.desk, story.words, page.context.watch
    user, password = f"guest{story.run}{story.words['other'][:2]}", "correct horse battery"
    link = desk.invitation(user)
    page.goto(link)
    story.equal(page.input_value("#user"), user, "the invitation names its person")
    for first, again, part in (("short", "short", "too_short"), (password, password + "x", "differ")):
        page.fill("#password", first)
        page.fill("#again", again)
        with watch.expects(400):
            page.click("main button.main")
            page.wait_for_selector(".message.bad")
        story.message(page, words[part], f"a password is rejected: {part}")
    page.fill("#password", password)
    page.fill("#again", password)
    page.click("main button.main")
    page.wait_for_selector(".message.good")
    story.message(page, words["password_set"], "the password is set")
    with watch.expects(404):
        page.goto(link)
    story.message(page, words["invitation_over"], "an invitation can be used only once")
    story.open(page, "/login")
    with watch.expects(403, 429):
        for attempt in range(5):
            with page.expect_response("**/login") as answer:
                story.browser.log_in(page, user, f"wrong-password-{attempt}")
            story.equal(answer.value.status, 403, f"wrong password {attempt + 1} is rejected")
        page.wait_for_selector(".message.bad")
        with page.expect_response("**/login") as answer:
            story.browser.log_in(page, user, password)
        story.check(answer.value.status in (403, 429), "the right password is rejected during the lock")
        page.wait_for_selector(".message.bad")
    story.check("ledgerdesk_session" not in cookies(page.context), "a locked account gets no session")


def tab_count(page, name):
    return int(page.inner_text(f".tabs a[href='/?list={name}'] .count"))


WATCH_ROW = """(sn) => {
  window.seenAt = 0;
  const isShown = () => document.querySelector(`#main a[href="/tickets/${sn}"]`) !== null;
  const observer = new MutationObserver(() => {
    if (!isShown()) return;
    window.seenAt = performance.timeOrigin + performance.now();
    observer.disconnect();
  });
  observer.observe(document.getElementById('main'), { childList: true, subtree: true });
}"""


def work_list(story):
    desk = story.desk
    approver, admin = story.person("zhangsan"), story.person("admin", "second browser")
    for name in ("approval", "todo"):
        story.open(approver, f"/?list={name}")
        mark(approver)
        before = {tab: tab_count(approver, tab) for tab in ("approval", "todo")}
        sn = desk.two_steps(story.title(f"work list {name}"))
        row = approver.locator("tr", has=approver.locator(f"a[href='/tickets/{sn}']"))
        story.soon(f"the ticket appears in the list {name}", lambda: row.count() == 1, approver)
        story.contains(row.inner_text(), story.title(f"work list {name}"), "the row has the title")
        story.contains(row.inner_text(), "zhangsan", "the row names the person for whom the ticket waits")
        for tab in before:
            story.equal(tab_count(approver, tab), desk.count("zhangsan", tab), f"the count of {tab} is the length of the list")
        story.equal(tab_count(approver, "approval"), before["approval"] + 1, "the count of tickets to approve")
        desk.post("zhangsan", f"tickets/{sn}/decide", {"pass": True, "message": "done"})
        story.soon(f"the decided ticket leaves the list {name}", lambda: row.count() == 0, approver)
        story.equal(tab_count(approver, "approval"), before["approval"], "the count after the decision")
        story.check(is_marked(approver), "the list changes without a reload")

    story.open(admin, "/?list=approval")
    mark(admin)
    times = []
    for number in range(VOTES_MEASURED):
        sn = desk.two_steps(story.title(f"vote {number}"))
        story.open(approver, f"/tickets/{sn}")
        admin.evaluate(WATCH_ROW, sn)
        with approver.expect_request(f"**/tickets/{sn}/decide") as sent:
            story.vote(approver, f"reason {number}")
        if story.soon("the vote of one browser changes the list in another", lambda: admin.evaluate("() => window.seenAt"), admin):
            times.append(admin.evaluate("() => window.seenAt") - sent.value.timing["startTime"])
    story.check(is_marked(admin), "the list of the other browser changes without a reload")
    story.equal(tab_count(admin, "approval"), desk.count("admin", "approval"), "the count in the other browser")
    figures = f"vote to changed list in another browser: median {statistics.median(times):.0f} ms" if times else "no times"
    return f"{figures}, most {max(times, default=0):.0f} ms, {len(times)} votes"


def form_values(page):
    return {
        row.locator("dt").inner_text(): row.locator("dd").inner_text() for row in page.locator("dl.form > div").all()
    }


def ticket_page(story):
    desk, words = story.desk, story.words
    title, plan = story.title("change"), "first line\n第二行"
    sn = desk.change(title, plan)
    one, two, requester = story.person("zhangsan"), story.person("zhoujiu"), story.person("lisi")
    for page in (one, two, requester):
        story.open(page, f"/tickets/{sn}")
        mark(page)
    story.equal(one.inner_text("h1"), title, "the heading of the ticket")
    values = form_values(one)
    expected = {"标题": title, "影响范围": "高", "紧急程度": "中", "变更时间": "2026-12-01 10:00:00", "变更方案": plan}
    for name, value in expected.items():
        story.equal(values.get(name), value, f"the form shows {name}")
    for option in ("应用发布", "数据库"):
        story.contains(values.get("变更类型", ""), option, "the form shows the names of the options")
    definition = desk.get("admin", "workflows/14/versions/1")["definition"]
    nodes = sorted(str(node["id"]) for node in definition["nodes"])
    drawn = one.locator("svg.flow g.node").evaluate_all("(all) => all.map((one) => one.dataset.node)")
    story.equal(sorted(drawn), nodes, "the picture has one group for each node of the workflow")
    edges = one.locator("svg.flow g.edge").evaluate_all("(all) => all.map((one) => one.dataset.transition)")
    story.equal(sorted(edges), sorted(str(edge["id"]) for edge in definition["transitions"]), "the picture has all transitions")
    story.check(one.locator("svg.flow g.node.current[data-node='3']").count() == 1, "the current node is marked")
    way = [f"g.node.done[data-node='{one}']" for one in (1, 2)] + [f"g.edge.taken[data-transition='{one}']" for one in (1, 2)]
    for part in way:
        story.equal(one.locator(f"svg.flow {part}").count(), 1, f"the way to the current node is marked: {part}")
    entries = one.locator(".timeline > li").count()
    story.check(entries >= 3, f"the timeline has entries: {entries}")
    story.equal(requester.locator(".turn").count(), 0, "the requester cannot vote")
    for page in (one, two, requester):
        story.equal(path_of(page), f"/tickets/{sn}", "the address of the ticket")

    # The vote of one approver is shown to the others, whose texts stay.
    two.fill(".turn textarea", "half a reason")
    two.fill("#remark", "half a remark")
    two.evaluate("() => document.getElementById('remark').setSelectionRange(2, 5)")
    reason = f"approved by one {story.run}"
    story.vote(one, reason)
    one.wait_for_selector(".message.good")
    story.message(one, words["approved"], "the vote is confirmed")
    for page, who in ((two, "another approver"), (requester, "the requester")):
        story.soon(f"{who} sees the reason in the timeline", lambda: reason in page.inner_text(".timeline"), page)
        story.contains(page.inner_text("table.list"), reason, f"{who} sees the vote in the table of nodes")
        story.check(is_marked(page), f"{who} sees the vote without a reload")
    story.equal(two.input_value(".turn textarea"), "half a reason", "the typed reason stays")
    story.equal(two.input_value("#remark"), "half a remark", "the typed remark stays")
    focus = two.evaluate("() => { const one = document.activeElement; return [one.id, one.selectionStart, one.selectionEnd]; }")
    story.equal(focus, ["remark", 2, 5], "the focus and the selection stay")
    two.fill(".turn textarea", "")
    two.click(".remark button")
    two.wait_for_selector(".message.good")
    story.soon("the remark appears for the requester", lambda: "half a remark" in requester.inner_text(".timeline"), requester)

    # The first vote decides. The form of the other approver is no longer available, but the text is.
    sn = desk.approval(story.title("one of two"), "zhangsan,wangwu")
    other = story.person("wangwu")
    for page in (one, other, requester):
        story.open(page, f"/tickets/{sn}")
        mark(page)
    other.fill(".turn textarea", "reason of wangwu\nin two lines")
    reason = f"decided by zhangsan {story.run}"
    story.vote(one, reason)
    one.wait_for_selector(".message.good")
    story.soon("the form of the other approver disappears", lambda: other.locator(".turn").count() == 0, other)
    story.contains(other.inner_text(".timeline"), reason, "the other approver sees the reason")
    story.contains(main_text(other), words["lost_text"], "a message explains the missing form")
    story.contains(main_text(other), "reason of wangwu\nin two lines", "the text of the other approver is still on the page")
    story.check(is_marked(other), "the page of the other approver was not loaded again")
    found = axe(other)
    story.check(not found, f"axe on the page with the kept text: {found}")
    story.report.shot(other, f"{story.lang}-kept-text")
    desk.post("lisi", f"tickets/{sn}/remark", {"text": f"later remark {story.run}"})
    story.soon("a later change is shown", lambda: f"later remark {story.run}" in other.inner_text(".timeline"), other)
    story.contains(main_text(other), "reason of wangwu\nin two lines", "the text stays after a later change")
    story.soon("the requester sees the end", lambda: words["finished"] in requester.inner_text(".facts .state"), requester)
    story.check(requester.locator("svg.flow g.node.current").count() == 0, "a finished ticket has no current node in the picture")
    story.check(is_marked(requester), "the requester sees the end without a reload")
    return f"{len(drawn)} nodes and {len(edges)} transitions drawn, {entries} entries"


def changed_content(story):
    desk, words = story.desk, story.words
    sn = desk.approval(story.title("changed content"))
    context = story.browser.context(story.lang)
    page, watch = context.new_page(), context.watch
    story.open(page, "/login")
    story.browser.log_in(page, "zhangsan")
    page.wait_for_selector(".person .name")

    # The page does not get the change, as on a lost connection, so that its content is old.
    context.route("**/live/**", lambda route: route.abort())
    with watch.disconnects():
        story.open(page, f"/tickets/{sn}")
        desk.post("admin", f"tickets/{sn}/edit", {"fields": {"APPROVAL_CONTENT": "twice the price"}})
        page.fill(".turn textarea", "my long reason")
        context.unroute("**/live/**")
        with watch.expects(409):
            page.click(".turn button[value=approve]")
            page.wait_for_selector(".message.bad")
    story.message(page, words["content_changed"], "a vote on old content is rejected")
    story.equal(desk.votes(sn), 0, "the rejected vote is not stored")
    story.equal(page.input_value(".turn textarea"), "my long reason", "the typed reason is kept")
    story.contains(main_text(page), "twice the price", "the page shows the new content")
    story.vote(page)
    page.wait_for_selector(".message.good")
    story.message(page, words["approved"], "the second vote succeeds")
    story.equal(desk.votes(sn), 1, "the second vote is stored")
    story.contains(page.inner_text(".timeline"), "my long reason", "the second vote has the reason")

    # The page after a rejected vote gets changes as any other page.
    sn = desk.approval(story.title("change after a rejected vote"))
    context.route("**/live/**", lambda route: route.abort())
    with watch.disconnects():
        story.open(page, f"/tickets/{sn}")
        desk.post("admin", f"tickets/{sn}/edit", {"fields": {"APPROVAL_CONTENT": "other content"}})
        page.fill(".turn textarea", "reason before a change")
        context.unroute("**/live/**")
        with watch.expects(409):
            page.click(".turn button[value=approve]")
            page.wait_for_selector(".message.bad")
    desk.post("lisi", f"tickets/{sn}/remark", {"text": f"remark after the vote {story.run}"})
    shows = story.soon(
        "the page after a rejected vote shows a later change",
        lambda: page.locator(".timeline").count() and f"remark after the vote {story.run}" in page.inner_text(".timeline"),
        page,
        3,
    )
    if shows:
        story.equal(page.input_value(".turn textarea"), "reason before a change", "the reason stays after a later change")
        story.contains(main_text(page), words["content_changed"], "the message stays after a later change")
    page.click("form[action='/language'] button")
    story.soon("the language of the page after a rejected vote changes", lambda: page.get_attribute("html", "lang") == words["other"], page, 3)
    story.equal(page.locator("h1").count(), 1, "the page after a rejected vote is shown in the other language")
    page.click("form[action='/language'] button")
    page.wait_for_selector(f"html[lang='{story.lang}']")

    # A page with live updates shows the new content. A message must draw the attention of the voter to the change.
    sn = desk.approval(story.title("change while a person types"))
    story.open(page, f"/tickets/{sn}")
    page.fill(".turn textarea", "reason for the old content")
    desk.post("admin", f"tickets/{sn}/edit", {"fields": {"APPROVAL_CONTENT": "ten times the price"}})
    story.soon("the new content appears", lambda: "ten times the price" in page.inner_text("dl.form"), page)
    with watch.expects(409):
        if page.locator(".message").count() == 0:
            page.click(".turn button[value=approve]")
        page.wait_for_selector(".message")
    story.message(page, words["content_changed"], "a change of the content while a person types is reported before the vote is cast")
    story.equal(desk.votes(sn), 0, "no vote is cast on content that changed while the person typed")
    context.close()
    return "2 votes on old content rejected"


def double_click(story):
    desk, words = story.desk, story.words
    page = story.person("zhangsan")
    counts = []
    for number in range(3):
        sn = desk.approval(story.title(f"double click {number}"), "zhangsan,wangwu")
        story.open(page, f"/tickets/{sn}")
        page.fill(".turn textarea", "clicked twice")
        page.dblclick(".turn button[value=approve]")
        page.wait_for_selector(".message")
        story.message(page, words["approved"], "a double click is confirmed")
        counts.append(desk.votes(sn))
    story.equal(counts, [1, 1, 1], "a double click casts one vote")

    # The same form is sent twice at the same time.
    sn = desk.change(story.title("sent twice"))
    story.open(page, f"/tickets/{sn}")
    fields = {**hidden_fields(page, ".turn form"), "reason": "sent twice", "decision": "approve"}
    statuses = page.evaluate(
        """async ([path, fields]) => {
          const send = () => fetch(path, { method: 'POST', body: new URLSearchParams(fields) });
          return (await Promise.all([send(), send(), send()])).map((one) => one.status);
        }""",
        [f"/tickets/{sn}/decide", fields],
    )
    story.equal(statuses, [200, 200, 200], "the same form three times has the same answer")
    story.equal(desk.votes(sn), 1, "the same form three times casts one vote")

    # The answer to a form is late, the page gets a change, and the person sends the form again.
    late = desk.approval(story.title("late answer"))
    story.open(page, f"/tickets/{late}")
    page.fill("#remark", "sent again")
    fields = {**hidden_fields(page, ".remark"), "text": "sent again"}
    page.evaluate("([path, fields]) => fetch(path, { method: 'POST', body: new URLSearchParams(fields) })", [f"/tickets/{late}/remark", fields])
    story.soon("the page gets the change", lambda: "sent again" in page.inner_text(".timeline"), page)
    page.click(".remark button")
    page.wait_for_selector(".message.good")
    story.equal(len(desk.events(late, "ticket.remark_added")), 1, "a form that is sent again after a change has no second effect")

    # Two remarks with the same text are two remarks, and a double click is one.
    story.open(page, f"/tickets/{sn}")
    for _ in range(2):
        page.fill("#remark", "the same text")
        page.dblclick(".remark button")
        page.wait_for_selector(".message.good")
        story.open(page, f"/tickets/{sn}")
    story.equal(len(desk.events(sn, "ticket.remark_added")), 2, "two double clicks add two remarks")
    return f"votes after 3 double clicks: {counts}"


def operator_lists(story):
    words = story.words
    admin, lisi = story.person("admin"), story.person("lisi")
    for path, heading in words["lists"].items():
        answer = story.open(admin, path)
        story.equal(answer.status, 200, f"{path} for admin")
        story.equal(admin.inner_text("h1"), heading, f"the heading of {path}")
        story.equal(admin.locator("nav a[aria-current=page]").inner_text(), heading, f"{path} is marked in the navigation")
        has_rows = admin.locator("table.list tbody tr").count() > 0
        story.check(has_rows or admin.locator(".empty").count() == 1, f"{path} has rows or a hint")
        with lisi.context.watch.expects(403):
            answer = story.open(lisi, path)
        story.equal(answer.status, 403, f"{path} for lisi")
        story.contains(main_text(lisi), words["forbidden"], f"{path} states why lisi may not see it")
        story.equal(lisi.locator(f"nav a[href='{path}']").count(), 0, f"{path} is not in the navigation of lisi")
        page = path[1:]
        answer = lisi.context.request.get(story.url(f"/live/{page}?page=1&version=0"))
        story.equal(answer.status, 404, f"lisi gets no live updates of {path}")
    story.open(lisi, "/")
    links = lisi.locator("header nav a").all_inner_texts()
    story.equal(links, [words["work"], words["subscriptions"]], "the navigation of lisi")
    return "4 lists"


def views(story, page, name):
    """Checks the open page on a screen and a phone, in light and dark colors."""
    for width, size in (("1280", WIDE), ("360", PHONE)):
        page.set_viewport_size(size)
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            found = axe(page)
            story.check(not found, f"axe on {name} ({width}, {scheme}): {found}")
            wider, elements = overflow(page)
            story.check(wider <= 0, f"{name} is {wider} px wider than {width} px: {elements}")
            values = misplaced(page)
            story.check(not values, f"{name} has values among the labels ({width}): {values}")
            story.report.shot(page, f"{story.lang}-{width}-{scheme}-{name}")
    page.set_viewport_size(WIDE)
    page.emulate_media(color_scheme="light", reduced_motion="reduce")


def viewed(story, page, path, name, status=200):
    """Opens a page, and checks its size and its views. Returns its size in bytes."""
    with page.context.watch.expects(status):
        answer = page.goto(path if path.startswith("http") else story.url(path))
    story.equal(answer.status, status, f"the status of {name}")
    headers = answer.headers
    policy = headers.get("content-security-policy", "")
    story.check("default-src 'none'" in policy and "unsafe" not in policy, f"the policy of {name}: {policy}")
    story.equal(headers.get("content-language"), story.lang, f"the language of {name}")
    size = len(answer.body())
    story.check(0 < size < PAGE_BYTES_MAX, f"{name} has {size} bytes")
    views(story, page, name)
    return size


def appearance(story):
    desk = story.desk
    guest_context = story.browser.context(story.lang)
    guest, admin, lisi = guest_context.new_page(), story.person("admin"), story.person("lisi")

    # The first page with an empty cache.
    answers = []
    guest_context.on("response", lambda answer: answers.append(answer))
    story.open(guest, "/login")
    own = [one for one in answers if one.url.startswith(desk.base)]
    size = sum(len(one.body()) for one in own)
    story.check(len(own) <= FIRST_PAGE_REQUESTS_MAX, f"the first page needs {len(own)} requests")
    story.check(size <= FIRST_PAGE_BYTES_MAX, f"the first page has {size} bytes")
    story.equal(len(own), 3, "the first page has a document, a style sheet and a script")
    story.equal(own[0].headers.get("cache-control"), "no-store", "browsers do not store pages")
    for one in own[1:]:
        story.contains(one.headers.get("cache-control", ""), "immutable", f"browsers store {one.url}")

    running = desk.two_steps(story.title("appearance"), "admin", "line one\nline two")
    finished = desk.two_steps(story.title("finished"), "admin")
    desk.post("admin", f"tickets/{finished}/decide", {"pass": False, "message": "too expensive"})
    change = desk.change(story.title("appearance of a change"))
    board = desk.change(story.title("two votes"))
    for voter in ("zhangsan", "zhoujiu"):
        desk.post(voter, f"tickets/{board}/decide", {"pass": True, "message": f"agreed by {voter}"})
    desk.post("zhangsan", f"tickets/{change}/decide", {"pass": False, "message": "not on a Friday"})
    story.equal(desk.get("admin", f"tickets/{change}")["current_status"], "RUNNING", "a rejected change is sent back")
    long = desk.approval(story.title("long history"), "admin")
    for number in range(120):
        desk.post("lisi", f"tickets/{long}/remark", {"text": f"第 {number} 条备注：请尽快处理，谢谢。"})
    incident = desk.submit(
        19,
        story.title("incident"),
        impact="3",
        urgency="3",
        GUZHANGLEIXING="VPN",
        GUZHANGMIAOSHU="<p>VPN <b>down</b></p>",
        YINGXIANGZHUJI='[{"IP": "10.0.0.1", "STATE": "DOWN"}]',
    )[0]

    while desk.count("lisi", "created") <= LIST_ROWS:
        desk.approval(story.title("one of many"))
    sizes = {}
    pages = [(f"/?list={name}", f"work-{name}") for name in LISTS]
    pages += [(f"/tickets/{running}", "ticket-to-approve"), (f"/tickets/{running}?notice=remarked", "ticket-notice")]
    pages += [(f"/tickets/{finished}", "ticket-finished"), (f"/tickets/{change}", "ticket-second-round"), (f"/tickets/{board}", "ticket-two-votes")]
    pages += [(f"/tickets/{long}", "ticket-long-history"), (f"/tickets/{incident}", "ticket-incident")]
    pages += [(path, path[1:]) for path in story.words["lists"]]
    pages += [("/subscriptions", "subscriptions")]
    for path, name in pages:
        sizes[name] = viewed(story, admin, path, name)
    sizes["work-second-page"] = viewed(story, lisi, "/?list=created&page=2", "work-second-page")
    lisi.click(".pager a[rel=prev]")
    lisi.wait_for_selector(".pager a[rel=next]")
    story.equal(path_of(lisi), "/?list=created&page=1", "the link to the previous page")
    story.equal(lisi.locator("table.list tbody tr").count(), LIST_ROWS, "the rows of the first page")
    sizes["no-ticket"] = viewed(story, admin, "/tickets/NONE", "no-ticket", 404)
    with admin.context.watch.expects(404):
        answer = story.open(admin, "/no-such-page")
    kind = answer.headers.get("content-type", "")
    story.check((answer.status, kind[:9]) == (404, "text/html"), f"a browser gets a page for an unknown path: {answer.status} {kind}")
    sizes["login"] = viewed(story, guest, "/login", "login")
    sizes["login-asked"] = viewed(story, guest, f"/login?next=/tickets/{running}", "login-asked")
    with guest_context.watch.expects(403):
        story.browser.log_in(guest, "stranger", "wrong-password")
        guest.wait_for_selector(".message.bad")
    views(story, guest, "login-rejected")
    link = desk.invitation(f"guest{story.run}views")
    sizes["invitation"] = viewed(story, guest, link, "invitation")
    sizes["invitation-over"] = viewed(story, guest, link[:-1] + "x", "invitation-over", 404)
    guest_context.close()
    largest = max(sizes, key=sizes.get)
    return (
        f"{len(sizes) + 1} pages in 4 views, largest page {largest} {sizes[largest]} bytes, "
        f"first page {len(own)} requests and {size} bytes, {story.report.shots} pictures"
    )


def hostile_workflow(desk):
    """Deploys a workflow whose names contain hostile text. Returns the id of its service."""
    definition = {
        "name": HOSTILE_SHORT[:60],
        "nodes": [
            {"id": 1, "name": "<i>start</i>", "kind": "START"},
            {"id": 2, "name": HOSTILE_SHORT, "kind": "NORMAL", "processors": {"type": "OPEN"}, "fields": ["title", "WORDS"]},
            {
                "id": 3,
                "name": HOSTILE_SHORT,
                "kind": "APPROVAL",
                "processors": {"type": "PERSON", "who": ["zhangsan"]},
                "fields": ["RESULT", "NOTE", "WHY"],
                "outputs": [{"key": "OUTCOME", "holds": "NODE_APPROVE_RESULT"}],
            },
            {"id": 4, "name": "]]></svg>" + IMAGE, "kind": "END"},
        ],
        "transitions": [
            {"id": 1, "from": 1, "to": 2},
            {"id": 2, "from": 2, "to": 3, "name": HOSTILE_SHORT},
            {"id": 3, "from": 3, "to": 4, "name": "</title>" + SCRIPT},
        ],
        "fields": [
            {"id": 1, "key": "title", "type": "STRING", "name": HOSTILE_SHORT, "is_required": True},
            {"id": 2, "key": "WORDS", "type": "TEXT", "name": LONG},
            {
                "id": 3,
                "key": "RESULT",
                "type": "RADIO",
                "name": IMAGE,
                "is_required": True,
                "default": "true",
                "is_approve_result": True,
                "meta": {"code": "APPROVE_RESULT"},
                "choice": [{"key": "true", "name": SCRIPT}, {"key": "false", "name": IMAGE}],
            },
            {"id": 4, "key": "NOTE", "type": "TEXT", "name": IMAGE},
            {"id": 5, "key": "WHY", "type": "TEXT", "name": IMAGE},
        ],
    }
    workflow = desk.post("admin", "workflows", {"definition": definition})["workflow"]
    version = desk.post("admin", f"workflows/{workflow}/deploy")["version"]
    name = f"{HOSTILE_SHORT[:40]} {workflow}"
    service = {"name": name, "kind": "request", "workflow": workflow, "version": version, "catalog": 4, "is_enabled": True, "display_type": "OPEN"}
    return desk.post("admin", "services", service)["service"]


def hostile_text(story):
    desk = story.desk
    page, lisi = story.person("zhangsan"), story.person("lisi")
    titles = {
        "markup": HOSTILE_SHORT[:90],
        "long": LONG,
        "direction": f"{RIGHT_TO_LEFT} {story.run}",
        "spaces": f"  two  spaces\t{story.run}",
    }
    tickets = {}
    for name, title in titles.items():
        content = HOSTILE + "\n" + "W" * 2000 if name != "long" else "字" * 2000
        tickets[name] = desk.approval(title, "zhangsan,wangwu", content)
        desk.post("lisi", f"tickets/{tickets[name]}/remark", {"text": content})
    own = desk.submit(hostile_workflow(desk), titles["markup"], WORDS=HOSTILE + LONG * 10)[0]
    tickets["workflow"], titles["workflow"] = own, titles["markup"]

    def unharmed(one, what):
        one.set_viewport_size(PHONE)
        story.check(one.evaluate("() => window.hacked === undefined && document.querySelectorAll('img').length === 0"), f"{what}: no script runs")
        wider, elements = overflow(one)
        story.check(wider <= 0, f"{what}: {wider} px too wide: {elements}")
        found = axe(one)
        story.check(not found, f"{what}: axe finds {found}")
        story.report.shot(one, f"{story.lang}-hostile-{what.replace(' ', '-')}")
        one.set_viewport_size(WIDE)

    story.open(page, "/?list=approval")
    rows = page.locator("td.wide").all_text_contents()
    for title in titles.values():
        story.check(title in rows, f"the list shows {title[:40]!r} literally: {[row[:40] for row in rows]}")
    unharmed(page, "work list")
    for name, sn in tickets.items():
        reason = HOSTILE + LONG
        story.open(page, f"/tickets/{sn}")
        mark(page)
        story.equal(page.text_content("h1"), titles[name], f"the heading of {name} is literal")
        story.check(SCRIPT in main_text(page) or name == "long", f"the text of {name} is literal")
        story.check("109876463" not in page.text_content("dl.form"), f"no template is evaluated in {name}")
        unharmed(page, f"ticket {name}")
        desk.post("lisi", f"tickets/{sn}/remark", {"text": HOSTILE + " live"})
        story.soon(f"hostile text arrives by a live update in {name}", lambda: f"{HOSTILE} live" in page.text_content(".timeline"), page)
        # The own text in the forms stays, and a reason that is no longer needed is shown in the message.
        page.fill(".turn textarea", reason)
        desk.post("wangwu" if name != "workflow" else "zhangsan", f"tickets/{sn}/decide", {"pass": True, "message": reason})
        story.soon(f"the hostile reason is kept in {name}", lambda: page.locator("blockquote").count() == 1, page)
        story.contains(page.text_content("blockquote"), reason, f"the kept text of {name} is literal")
        story.contains(page.text_content("table.list"), reason, f"the reason of {name} is literal")
        story.check(is_marked(page), f"the ticket {name} was not loaded again")
        unharmed(page, f"ticket {name} decided")
    drawn = page.locator("svg.flow g.node > title").all_text_contents()
    story.check(any(one.startswith(HOSTILE_SHORT) for one in drawn), f"the picture has literal names: {drawn}")
    story.open(lisi, "/?list=created")
    unharmed(lisi, "created list")

    # Hostile texts in the address and in the login form.
    context = story.browser.context(story.lang)
    guest = context.new_page()
    quoted = urllib.parse.quote(HOSTILE_SHORT, safe="")
    with lisi.context.watch.expects(404, 400), context.watch.expects(403):
        for name, path in (("list", "/?list="), ("page", "/?page="), ("notice", "/?notice="), ("ticket", "/tickets/")):
            story.open(lisi, path + quoted)
            unharmed(lisi, f"address with a hostile {name}")
        story.open(guest, f"/login?next=/{quoted}")
        unharmed(guest, "login next")
        story.open(guest, "/login")
        story.browser.log_in(guest, IMAGE[:60], "wrong-password")
        guest.wait_for_selector(".message.bad")
        story.equal(guest.input_value("#user"), IMAGE[:60], "the hostile user name is literal")
        unharmed(guest, "login user")
    context.close()
    return f"{len(tickets)} tickets with hostile text"


def without_script(story):
    desk, words = story.desk, story.words
    title = story.title("no script")
    sn = desk.approval(title)
    context = story.browser.context(story.lang, java_script_enabled=False)
    page = context.new_page()
    story.open(page, f"/tickets/{sn}")
    story.browser.log_in(page, "zhangsan")
    page.wait_for_selector(".turn")
    story.equal(path_of(page), f"/tickets/{sn}", "the login leads to the ticket")
    story.open(page, "/?list=approval")
    page.click(f"a[href='/tickets/{sn}']")
    page.wait_for_selector(".turn")
    story.equal(page.inner_text("h1"), title, "the ticket can be read")
    story.equal(form_values(page).get("审批内容"), "content", "the form can be read")
    story.check(page.locator("svg.flow g.node").count() == 4, "the picture is on the page")
    page.fill("#remark", "remark without script")
    page.click(".remark button")
    page.wait_for_selector(".message.good")
    story.vote(page, "reason without script")
    page.wait_for_selector(".message.good")
    story.message(page, words["approved"], "the vote is confirmed")
    story.contains(page.inner_text(".timeline"), "reason without script", "the reason is in the timeline")
    story.equal(desk.votes(sn), 1, "one vote is cast")
    page.click("form[action='/language'] button")
    page.wait_for_selector(f"html[lang='{words['other']}']")
    page.click("form[action='/logout'] button")
    page.wait_for_selector("#login")
    context.close()
    return "login, list, ticket, remark, vote, language, logout"


def blueking_links(story):
    desk = story.desk
    title = story.title("link")
    sn, number = desk.submit(1, title, APPROVER="zhangsan", APPROVAL_CONTENT="content")
    shown = desk.get("lisi", f"tickets/{sn}")
    page = story.person("zhangsan")
    links = [shown["ticket_url"], shown["iframe_ticket_url"], story.url(f"/#/ticket/detail?project_id=0&id={number}")]
    for link in links:
        story.check(link.startswith(desk.base), f"the link {link} leads to this desk")
        page.goto("about:blank")
        page.goto(link)
        story.soon(f"{link} leads to the ticket", lambda: path_of(page) == f"/tickets/{sn}", page)
        story.equal(page.inner_text("h1"), title, "the link shows the ticket")
    # A link that is opened from a page of the desk changes only the part after the character #.
    story.open(page, "/")
    page.evaluate("(number) => { location.hash = `#/ticket/detail?id=${number}`; }", number)
    story.soon("a link on the open page leads to the ticket", lambda: path_of(page) == f"/tickets/{sn}", page)
    context = story.browser.context(story.lang)
    guest = context.new_page()
    guest.goto(links[0])
    with context.watch.expects(403):
        story.browser.log_in(guest, "zhangsan", "wrong-password")
        guest.wait_for_selector(".message.bad")
    story.browser.log_in(guest, "zhangsan")
    story.soon("the link leads to the ticket after a login", lambda: path_of(guest) == f"/tickets/{sn}", guest)
    story.equal(guest.inner_text("h1"), title, "the link shows the ticket after a login")
    context.close()
    return f"{len(links) + 2} links"


def lost_connection(story):
    desk = story.desk
    wire = Wire(desk)
    context = story.browser.context(story.lang)
    context.watch.bases.append(wire.base)
    page, watch = context.new_page(), context.watch
    page.goto(wire.base + "/login")
    story.browser.log_in(page, "zhangsan")
    page.wait_for_selector(".tabs")
    banner = page.locator("#disconnected")
    times = []
    for path in ("/?list=approval", "ticket"):
        sn = desk.approval(story.title("before the break"))
        is_ticket = path == "ticket"
        page.goto(wire.base + (f"/tickets/{sn}" if is_ticket else path))
        mark(page)
        story.check(banner.is_hidden(), "no banner while the page is connected")
        with watch.disconnects():
            wire.cut()
            story.soon("the banner appears", banner.is_visible, page)
            text = f"during the break {story.run}"
            if is_ticket:
                desk.post("lisi", f"tickets/{sn}/remark", {"text": text})
                is_found = lambda: text in page.inner_text(".timeline")
            else:
                new = desk.approval(story.title(text))
                is_found = lambda: page.locator(f"a[href='/tickets/{new}']").count() == 1
            story.check(not is_found(), "the change cannot arrive during the break")
            found = axe(page)
            story.check(not found, f"axe on the page with the banner: {found}")
            story.report.shot(page, f"{story.lang}-disconnected-{'ticket' if is_ticket else 'list'}")
            began = time.monotonic()
            wire.restore()
            if story.soon("the missed change appears after the break", is_found, page):
                times.append(time.monotonic() - began)
            story.soon("the banner disappears", banner.is_hidden, page)
        # The page gets later changes as before.
        desk.post("zhangsan", f"tickets/{sn}/decide", {"pass": True, "message": "later"})
        gone = page.locator(".turn") if is_ticket else page.locator(f"a[href='/tickets/{sn}']")
        story.soon("a later change appears", lambda: gone.count() == 0, page)
        story.check(is_marked(page), "the missed change appears without a reload")

    # The stream of changes continues, but the page cannot be loaded again: the browser is offline, or the desk is overloaded.
    sn = desk.approval(story.title("failed update"))
    for reason in ("offline", "overloaded"):
        page.goto(f"{wire.base}/tickets/{sn}")
        mark(page)
        text = f"remark {reason} {story.run}"
        with watch.disconnects(), watch.expects(503):
            if reason == "offline":
                context.set_offline(True)
            else:
                context.route(f"**/tickets/{sn}", lambda route: route.fulfill(status=503, content_type="text/html", body="<main id=main>503</main>"))
            desk.post("lisi", f"tickets/{sn}/remark", {"text": text})
            story.soon(f"the banner appears ({reason})", banner.is_visible, page, 4)
            story.equal(page.locator("h1").count(), 1, f"the ticket stays on the page ({reason})")
            context.set_offline(False)
            context.unroute(f"**/tickets/{sn}")
            timeline = page.locator(".timeline")
            story.soon(f"the missed change appears ({reason})", lambda: timeline.count() == 1 and text in timeline.inner_text(), page, 4)
            story.soon(f"the banner disappears ({reason})", banner.is_hidden, page, 4)
        story.check(is_marked(page), f"the failed update is repeated without a reload ({reason})")

    # The session ends in another tab of the browser.
    page.goto(f"{wire.base}/tickets/{sn}")
    other = context.new_page()
    other.goto(wire.base)
    other.click("form[action='/logout'] button")
    other.wait_for_selector("#login")
    with watch.disconnects(), watch.expects(403):
        wire.cut()
        story.soon("the banner appears after the logout", banner.is_visible, page)
        wire.restore()
        story.soon("a page without session leads to the login page", lambda: path_of(page).startswith("/login"), page, 5)
        context.close()
    wire.close()
    return "missed changes appear after " + ", ".join(f"{1000 * one:.0f} ms" for one in times)


def focused(page):
    return page.evaluate(
        """() => {
          const one = document.activeElement;
          const style = getComputedStyle(one);
          const box = one.getBoundingClientRect();
          return {
            id: one.id, name: one.getAttribute('name'), value: one.getAttribute('value'), href: one.getAttribute('href'), tag: one.tagName,
            isVisible: style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2,
            isInWindow: box.bottom > 0 && box.top < innerHeight,
          };
        }"""
    )


def tab_to(story, page, what, is_target):
    """Presses the tab key until the target has the focus, and checks that each focus is visible. Returns the number of keys."""
    for count in range(1, KEYS_MAX):
        page.keyboard.press("Tab")
        one = focused(page)
        if one["tag"] == "BODY":
            continue
        story.check(one["isVisible"] and one["isInWindow"], f"the focus is visible at {one}")
        if is_target(one):
            return count
    raise RuntimeError(f"{what} is not reached by the tab key")


def keyboard(story):
    desk, words = story.desk, story.words
    title = story.title("keyboard")
    sn = desk.approval(title)
    context = story.browser.context(story.lang)
    page = context.new_page()
    story.open(page, "/")
    keys = tab_to(story, page, "the user name", lambda one: one["id"] == "user")
    page.keyboard.type("zhangsan")
    page.keyboard.press("Tab")
    page.keyboard.type(story.browser.password)
    page.keyboard.press("Enter")
    page.wait_for_selector(".tabs")
    # The first key reaches the link that skips the navigation.
    page.keyboard.press("Tab")
    story.equal(focused(page)["href"], "#main", "the first link skips the navigation")
    story.check(page.locator(".skip").bounding_box()["x"] >= 0, "the link that skips the navigation is visible")
    page.keyboard.press("Enter")
    keys += tab_to(story, page, "the tab of approvals", lambda one: one["href"] == "/?list=approval")
    page.keyboard.press("Enter")
    page.wait_for_url("**/?list=approval")
    keys += tab_to(story, page, "the ticket", lambda one: one["href"] == f"/tickets/{sn}")
    page.keyboard.press("Enter")
    page.wait_for_selector(".turn")
    keys += tab_to(story, page, "the reason", lambda one: one["name"] == "reason")
    page.keyboard.type("reason by keyboard")
    keys += tab_to(story, page, "the button", lambda one: one["value"] == "approve")
    page.keyboard.press("Enter")
    page.wait_for_selector(".message.good")
    story.message(page, words["approved"], "the vote by keyboard is confirmed")
    story.equal(desk.votes(sn), 1, "the vote by keyboard is cast")
    story.contains(page.inner_text(".timeline"), "reason by keyboard", "the reason by keyboard is stored")
    story.check(page.evaluate("() => document.scrollingElement.scrollTop") == 0, "the confirmation is in the window")
    # The picture can be scrolled by keyboard.
    tab_to(story, page, "the picture", lambda one: one["tag"] == "DIV")
    context.close()
    return f"{keys} tab keys from the login page to the vote"


def sessions(story):
    desk, words = story.desk, story.words
    sn = desk.approval(story.title("sessions"))
    context = story.browser.context(story.lang)
    page, watch = context.new_page(), context.watch
    story.open(page, f"/tickets/{sn}")
    story.browser.log_in(page, "zhangsan")
    page.wait_for_selector(".turn")
    before = len(desk.events(sn))
    decide = story.url(f"/tickets/{sn}/decide")
    fields = {**hidden_fields(page, ".turn form"), "reason": "attack", "decision": "approve"}

    def rejected(what, status, text, send=None, headers=None, path=decide):
        headers = {"Accept-Language": story.lang, **(headers or {})}
        answer = context.request.post(path, form=fields if send is None else send, headers=headers, max_redirects=0)
        story.equal(answer.status, status, f"the status of {what}")
        story.contains(answer.text(), text, f"the answer to {what}")
        story.equal(len(desk.events(sn)), before, f"{what} adds no event")
        return answer

    other = form_code(story.person("lisi").content())
    story.check(len(other) == 32 and other != fields["form_code"], "each session has its own form code")
    without = {name: value for name, value in fields.items() if name != "form_code"}
    rejected("a form without code", 400, words["bad_form"], without)
    rejected("a form with a wrong code", 400, words["bad_form"], {**fields, "form_code": "0" * 32})
    rejected("a form with an empty code", 400, words["bad_form"], {**fields, "form_code": ""})
    rejected("a form with the code of another person", 400, words["bad_form"], {**fields, "form_code": other})
    remark = {"text": "attack", "once": fields["once"]}
    rejected("a remark without code", 400, words["bad_form"], remark, path=story.url(f"/tickets/{sn}/remark"))
    evil = {"Origin": "http://evil.example"}
    rejected("a form of another origin", 403, words["other_site"], headers=evil)
    rejected("a form of an unknown origin", 403, words["other_site"], headers={"Origin": "null"})
    rejected("a form of another site", 403, words["other_site"], headers={"Sec-Fetch-Site": "cross-site"})
    login = {"user": "lisi", "password": story.browser.password, "next": "/"}
    answer = rejected("a login from another origin", 403, words["other_site"], login, evil, story.url("/login"))
    story.check("set-cookie" not in answer.headers, "a login from another origin sets no cookie")
    answer = context.request.post(decide, data="{}", headers={"Content-Type": "application/json"})
    story.equal(answer.status, 400, "a body that is not a form is rejected")
    rejected("a form without a decision", 400, words["bad_form"], {**fields, "decision": ""})
    answer = context.request.post(story.url("/logout"), form={"form_code": "0"}, max_redirects=0)
    story.equal(answer.status, 400, "a logout without code is rejected")

    # A page of another site sends the form of this desk with the browser of the person.
    inputs = "".join(f'<input name="{name}" value="{value}">' for name, value in fields.items())
    html = f'<form id="f" method="post" action="{decide}">{inputs}</form>'
    attacker = story.browser.chromium.new_context(storage_state=context.storage_state())
    attacker.route("http://evil.example/", lambda route: route.fulfill(content_type="text/html", body=html))
    attack = attacker.new_page()
    attack.goto("http://evil.example/")
    with attack.expect_response(decide) as answer:
        attack.evaluate("() => document.getElementById('f').submit()")
    story.equal(answer.value.status, 403, "the form of a page of another site is rejected")
    story.equal(len(desk.events(sn)), before, "the form of a page of another site adds no event")
    attacker.close()

    # Another person cannot vote with the form of an approver.
    stranger = story.person("lisi")
    answer = stranger.context.request.post(decide, form={**fields, "form_code": other}, max_redirects=0)
    story.check(answer.status in (403, 409), f"the vote of a stranger has the status {answer.status}")
    story.equal(len(desk.events(sn)), before, "the vote of a stranger adds no event")

    # The session ends while the ticket is open.
    page.fill(".turn textarea", "too late")
    context.add_cookies([{"name": "ledgerdesk_session", "value": "p0123456789abcdef01234567.0", "url": desk.base}])
    page.click(".turn button[value=approve]")
    page.wait_for_selector("#login")
    story.check(path_of(page).startswith("/login?next="), f"a form without session leads to the login page: {path_of(page)}")
    story.equal(len(desk.events(sn)), before, "a form without session adds no event")
    story.browser.log_in(page, "zhangsan")
    story.soon(
        "the login after an ended session leads to the ticket",
        lambda: path_of(page).split("?")[0] == f"/tickets/{sn}" and page.locator(".turn").count() == 1,
        page,
        3,
    )
    story.equal(desk.votes(sn), 0, "no vote is cast")
    context.close()
    return "16 forged forms rejected"


def subscriptions(story):
    words = story.words
    page = story.person("lisi")
    name = f"mine_{story.run}"
    story.open(page, "/subscriptions")
    story.equal(page.inner_text("h1"), words["subscriptions"], "the heading of the page")
    story.equal(page.locator("nav a[aria-current=page]").inner_text(), words["subscriptions"], "the page is marked in the navigation")
    page.fill("#name", name)
    page.check("#on_ended")
    page.fill("#key", "ticket_priority")
    page.select_option("#operator", ">=")
    page.fill("#value", "3")
    page.check("#is_number")
    page.click(".subscription button")
    page.wait_for_selector(".message.good")
    story.message(page, words["subscription_added"], "the subscription is confirmed")
    row = page.locator("table.list tbody tr", has_text=name)
    story.contains(row.inner_text(), 'ticket_priority >= "3"', "the condition is shown")
    views(story, page, "subscriptions-list")
    row.locator("button").click()
    page.wait_for_selector(".message.good")
    story.soon("the subscription is removed", lambda: page.locator("table.list tbody tr", has_text=name).count() == 0, page)
    return "one subscription"


SCENARIOS = {
    "instruments": instruments,
    "logins": logins,
    "work_list": work_list,
    "ticket_page": ticket_page,
    "changed_content": changed_content,
    "double_click": double_click,
    "operator_lists": operator_lists,
    "appearance": appearance,
    "hostile_text": hostile_text,
    "without_script": without_script,
    "blueking_links": blueking_links,
    "lost_connection": lost_connection,
    "keyboard": keyboard,
    "sessions": sessions,
    "subscriptions": subscriptions,
}


def main():
    if len(sys.argv) < 4:
        raise SystemExit(__doc__)
    base, password, out = sys.argv[1:4]
    chosen = sys.argv[4:]
    unknown = [one for one in chosen if one not in WORDS and one not in SCENARIOS]
    if unknown:
        raise SystemExit(f"neither a language nor a scenario: {', '.join(unknown)}")
    languages = [one for one in chosen if one in WORDS] or list(WORDS)
    names = [one for one in chosen if one in SCENARIOS] or list(SCENARIOS)
    folder = pathlib.Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    desk, report = Desk(base), Report(folder)
    run = f"{int(time.time()) % 1_000_000:06}"
    with sync_playwright() as playwright:
        browser = Browser(playwright, desk, report, password)
        for lang in languages:
            story = Story(desk, report, browser, lang, run)
            for name in names:
                report.scenario = f"{name} ({lang})"
                checks, problems, began = report.checks, len(report.problems), time.monotonic()
                try:
                    figures = SCENARIOS[name](story)
                except Exception as error:
                    line = next((frame.lineno for frame in traceback.extract_tb(error.__traceback__)[::-1] if frame.filename == __file__), 0)
                    report.problem(f"the scenario stopped at line {line} of story.py: {type(error).__name__}: {error}")
                    figures = "stopped"
                state = f"{report.checks - checks} checks, {len(report.problems) - problems} problems"
                print(f"{report.scenario}: {figures}; {state}; {time.monotonic() - began:.1f} s", flush=True)
            browser.leave(lang)
        browser.chromium.close()
    print(f"{report.checks} checks, {len(report.problems)} problems")
    sys.exit(1 if report.problems else 0)


if __name__ == "__main__":
    main()
