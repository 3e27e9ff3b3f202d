"""Serves django-helpdesk, a ticket system of another vendor, on loopback with a new SQLite database.

Usage: django_desk.py FOLDER PORT

The account of the desk is `ledgerdesk` with the password `helpdesk-secret`. The file FOLDER/webhook contains the URL to
which new tickets and follow-ups are sent; without the file, nothing is sent.
"""

import sys
from pathlib import Path
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

folder, port = Path(sys.argv[1]), int(sys.argv[2])
folder.mkdir(parents=True, exist_ok=True)


def webhooks():
    file = folder / "webhook"
    return [file.read_text()] if file.exists() else []


from django.conf import settings  # noqa: E402

settings.configure(
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
from django.urls import include, path  # noqa: E402

urlpatterns = [path("", include("helpdesk.urls", namespace="helpdesk"))]


class Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = 128


class Quiet(WSGIRequestHandler):
    def log_message(self, *arguments):
        pass


if __name__ == "__main__":
    if not (folder / "helpdesk.db").exists():
        call_command("migrate", verbosity=0)
        from helpdesk.models import Queue

        get_user_model().objects.create_superuser("ledgerdesk", "desk@example.com", "helpdesk-secret")
        Queue.objects.create(title="IT", slug="it", allow_public_submission=True)
    server = make_server("127.0.0.1", port, WSGIHandler(), server_class=Server, handler_class=Quiet)
    print("ready", flush=True)
    server.serve_forever()
