"""The Celery application of the benchmark: its tasks send mails with smtplib, and post to a web server.

The broker is Redis. A task is acknowledged after its work, so that a worker that is killed loses no task. Results are
not stored. The environment names the ports: PEER_REDIS, PEER_SMTP and PEER_HTTP.
"""
import email.message
import email.utils
import http.client
import json
import os
import smtplib

from celery import Celery

REDIS = f"redis://127.0.0.1:{os.environ['PEER_REDIS']}/0"
SMTP = int(os.environ.get("PEER_SMTP", "0"))
HTTP = int(os.environ.get("PEER_HTTP", "0"))
TIMEOUT_S = 10
# Redis gives a task to another worker after this time without an acknowledgment. The time must be longer than the
# longest `eta`.
VISIBILITY_S = 2 * 24 * 3600

app = Celery("peer", broker=REDIS)
app.conf.update(
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    task_ignore_result=True,
    broker_connection_retry_on_startup=True,
    broker_transport_options={"visibility_timeout": VISIBILITY_S},
)

_relay = None
_server = None


def letter(to, subject, body):
    """Returns a mail with a text part and an HTML part, as the desk sends it."""
    message = email.message.EmailMessage()
    message["From"] = "Service desk <desk@example.com>"
    message["To"] = to
    message["Subject"] = subject
    message["Date"] = email.utils.formatdate()
    message["Message-ID"] = email.utils.make_msgid(domain="example.com")
    message.set_content(body)
    message.add_alternative(f"<html><body><p>{body}</p></body></html>", subtype="html")
    return message


@app.task(name="mail")
def mail(to, subject, body):
    """Sends a mail over a connection of its own, as most programs with smtplib do."""
    with smtplib.SMTP("127.0.0.1", SMTP, local_hostname="localhost", timeout=TIMEOUT_S) as relay:
        relay.send_message(letter(to, subject, body))


@app.task(name="mail_kept", autoretry_for=(smtplib.SMTPException, OSError), max_retries=5)
def mail_kept(to, subject, body):
    """Sends a mail over a connection that the worker process keeps open."""
    global _relay
    if _relay is None:
        _relay = smtplib.SMTP("127.0.0.1", SMTP, local_hostname="localhost", timeout=TIMEOUT_S)
    try:
        _relay.send_message(letter(to, subject, body))
    except (smtplib.SMTPException, OSError):
        _relay = None
        raise


@app.task(name="post")
def post(key):
    """Posts to the web server over a connection that the worker process keeps open."""
    global _server
    if _server is None:
        _server = http.client.HTTPConnection("127.0.0.1", HTTP, timeout=TIMEOUT_S)
    try:
        body = json.dumps({"ticket": key, "to": "+8613800000000", "text": "a message"})
        _server.request("POST", "/", body, {"content-type": "application/json"})
        _server.getresponse().read()
    except (http.client.HTTPException, OSError):
        _server = None
        raise


@app.task(name="later")
def later(notification, person):
    """A task that is due tomorrow. No worker executes it during the benchmark."""
