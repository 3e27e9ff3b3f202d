#!/usr/bin/env bash
# django-helpdesk 2.6.1: the title of a follow-up that is sent to the REST API becomes the title of the ticket. A later
# comment replaces the resolution of a ticket that is already resolved.
#
# A follow-up has the members `title` and `comment`, as a mail has a subject and a text. In the pages, the title of a
# follow-up is a heading in the history of the ticket. An integrator would therefore send `"title": "Status update"`, and
# expects that the ticket keeps its title and its resolution.
#
# What happens: POST /api/followups/ passes the title to the function that updates the ticket. The ticket is renamed, and
# the old title is only in the list of changes. As long as the ticket is resolved, each further comment, also one without a
# status, is stored as the resolution.
#
# What to do: send follow-ups without `title`, and no comments to a resolved ticket.
#
# Exits with 0 if the behavior is as described.
set -euo pipefail
folder=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$folder"' EXIT
python3 -m venv "$folder/python"
"$folder/python/bin/pip" install --quiet --disable-pip-version-check django-helpdesk==2.6.1 Django==5.2.19 djangorestframework==3.18.3

cat >"$folder/check.py" <<'PYTHON'
import json
import sys
import threading
import urllib.request
from base64 import b64encode
from wsgiref.simple_server import WSGIRequestHandler, make_server

from django.conf import settings

settings.configure(
    ALLOWED_HOSTS=["127.0.0.1"], SECRET_KEY="only-for-this-check", ROOT_URLCONF=__name__, USE_TZ=True, SITE_ID=1,
    DEFAULT_AUTO_FIELD="django.db.models.AutoField",
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": sys.argv[1]}},
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions", "django.contrib.sites",
                    "django.contrib.humanize", "django.contrib.messages", "rest_framework", "helpdesk"],
    MIDDLEWARE=[], TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}],
    EMAIL_BACKEND="django.core.mail.backends.dummy.EmailBackend", HELPDESK_TEAMS_MODE_ENABLED=False, LOGGING_CONFIG=None,
)
import django

django.setup()
from django.contrib.auth import get_user_model
from django.core.handlers.wsgi import WSGIHandler
from django.core.management import call_command
from django.urls import include, path

urlpatterns = [path("", include("helpdesk.urls", namespace="helpdesk"))]
call_command("migrate", verbosity=0)
from helpdesk.models import Queue

get_user_model().objects.create_superuser("staff", "staff@example.com", "secret")
Queue.objects.create(title="IT", slug="it")


class Quiet(WSGIRequestHandler):
    def log_message(self, *arguments):
        pass


server = make_server("127.0.0.1", 0, WSGIHandler(), handler_class=Quiet)
threading.Thread(target=server.serve_forever, daemon=True).start()


def call(path, body=None):
    request = urllib.request.Request(
        f"http://127.0.0.1:{server.server_port}/api/{path}", json.dumps(body).encode() if body else None,
        {"Content-Type": "application/json", "Authorization": "Basic " + b64encode(b"staff:secret").decode()})
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.load(response)


ticket = call("tickets/", {"queue": 1, "title": "Printer", "description": "No toner", "submitter_email": "a@example.com",
                           "status": 1, "priority": 3})["id"]


def shown():
    found = call(f"tickets/{ticket}/")
    return found["title"], found["status"], found["resolution"]


seen = [shown()]
call("followups/", {"ticket": ticket, "comment": "Toner replaced", "public": True, "new_status": 3})
seen.append(shown())
call("followups/", {"ticket": ticket, "title": "Status update", "comment": "Thank you", "public": True})
seen.append(shown())
for step, state in zip(["opened", "resolved by a follow-up without a title", "follow-up with a title and without a status"], seen):
    print(f"{step}: title, status and resolution are {state}")
expected = [("Printer", 1, None), ("Printer", 3, "Toner replaced"), ("Status update", 3, "Thank you")]
sys.exit(0 if seen == expected else "the behavior has changed")
PYTHON
"$folder/python/bin/python" "$folder/check.py" "$folder/helpdesk.db"
