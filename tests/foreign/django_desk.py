"""Serves django-helpdesk, a ticket system of another vendor, on loopback with a new SQLite database.

Usage: django_desk.py FOLDER PORT
   or: HELPDESK_FOLDER=FOLDER gunicorn --preload --chdir tests/foreign "django_desk:application()"

The account of the desk is `ledgerdesk` with the password `helpdesk-secret`. The file FOLDER/webhook contains the URL to
which new tickets and follow-ups are sent; without the file, nothing is sent.
"""

import os
import sys
from pathlib import Path
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

# Under another server such as gunicorn, the command line belongs to that server.
is_program = __name__ == "__main__"
folder = Path(sys.argv[1] if is_program else os.environ["HELPDESK_FOLDER"])
folder.mkdir(parents=True, exist_ok=True)


def webhooks():
    file = folder / "webhook"
    return [file.read_text()] if file.exists() else []


from django.conf import settings  # noqa: E402

# The default hash of passwords takes more time than the rest of a request. With HELPDESK_FAST_PASSWORDS, a comparison of
# speed does not compare this hash.
has_fast_passwords = "HELPDESK_FAST_PASSWORDS" in os.environ
hashers = {"PASSWORD_HASHERS": ["django.contrib.auth.hashers.MD5PasswordHasher"]} if has_fast_passwords else {}

settings.configure(
    **hashers,
    ALLOWED_HOSTS=["127.0.0.1"],
    SECRET_KEY="only-for-tests",
    ROOT_URLCONF=__name__,
    USE_TZ=True,
    SITE_ID=1,
    DEFAULT_AUTO_FIELD="django.db.models.AutoField",
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": str(folder / "helpdesk.db"),
            "OPTIONS": {"timeout": 30, "transaction_mode": "IMMEDIATE", "init_command": "PRAGMA journal_mode=WAL"},
        }
    },
    INSTALLED_APPS=[
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.sessions",
        "django.contrib.sites",
        "django.contrib.humanize",
        "django.contrib.messages",
        "rest_framework",
        "helpdesk",
    ],
    MIDDLEWARE=[],
    TEMPLATES=[
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "APP_DIRS": True,
            "OPTIONS": {"context_processors": ["django.contrib.auth.context_processors.auth"]},
        }
    ],
    EMAIL_BACKEND="django.core.mail.backends.dummy.EmailBackend",
    HELPDESK_ACTIVATE_API_ENDPOINT=True,
    HELPDESK_TEAMS_MODE_ENABLED=False,
    HELPDESK_GET_NEW_TICKET_WEBHOOK_URLS=webhooks,
    HELPDESK_GET_FOLLOWUP_WEBHOOK_URLS=webhooks,
    MEDIA_ROOT=str(folder),
    STATIC_URL="/static/",
    LOGGING_CONFIG=None,
)

import django  # noqa: E402

django.setup()

from django.contrib.auth import get_user_model  # noqa: E402
from django.core.handlers.wsgi import WSGIHandler  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import connections  # noqa: E402
from django.urls import include, path  # noqa: E402

urlpatterns = [path("", include("helpdesk.urls", namespace="helpdesk"))]


class Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = 128


class Quiet(WSGIRequestHandler):
    def log_message(self, *arguments):
        pass


def prepare():
    """Creates the database with the account of the desk and one queue, if it does not exist."""
    if (folder / "helpdesk.db").exists():
        return
    call_command("migrate", verbosity=0)
    from helpdesk.models import Queue

    get_user_model().objects.create_superuser("ledgerdesk", "desk@example.com", "helpdesk-secret")
    Queue.objects.create(title="IT", slug="it", allow_public_submission=True)


def application():
    """Returns the WSGI application. A server must call this function before it starts its worker processes."""
    prepare()
    # A worker process must not use a connection that its parent opened.
    connections.close_all()
    return WSGIHandler()


if is_program:
    prepare()
    server = make_server("127.0.0.1", int(sys.argv[2]), WSGIHandler(), server_class=Server, handler_class=Quiet)
    print("ready", flush=True)
    server.serve_forever()
