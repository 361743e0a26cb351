"""Runs a command of Django's (`migrate`), or makes the edits of edits.py, one per line of JSON (`edit`)."""

from __future__ import annotations

import json
import os
import sys
from typing import Any
from urllib.parse import urlsplit

import django
from django.conf import settings
from django.core.management import call_command
from django.db import transaction

NAME = "tests.clients.django_app"


def main() -> None:
    database = urlsplit(os.environ["DATABASE_URL"])
    settings.configure(
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.postgresql",
                "HOST": database.hostname,
                "PORT": database.port,
                "USER": database.username,
                "PASSWORD": database.password,
                "NAME": database.path.removeprefix("/"),
            }
        },
        INSTALLED_APPS=[NAME],
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        USE_TZ=True,
    )
    django.setup()
    if sys.argv[1:] == ["edit"]:
        _serve()
    else:
        call_command(*sys.argv[1:])


def _serve() -> None:
    for line in sys.stdin:
        error = None
        try:
            _edit(**json.loads(line))
        except Exception as problem:
            error = repr(problem)
        print(json.dumps({"error": error}), flush=True)


def _edit(act: str, codes: list[str], values: dict[str, Any]) -> None:
    from tests.clients.django_app.models import Region

    those = Region.objects.filter(code__in=codes)
    match act:
        case "create":
            Region.objects.bulk_create(Region(code=code, **values) for code in codes)
        case "update":
            region = those.get()
            for column, value in values.items():
                setattr(region, column, value)
            region.full_clean()
            region.save()
        case "update_many":
            those.update(**values)
        case "upsert":
            Region.objects.update_or_create(code=codes[0], defaults=values)
        case "delete":
            those.delete()
        case "roll_back":
            with transaction.atomic():
                those.update(**values)
                transaction.set_rollback(True)


if __name__ == "__main__":
    main()
