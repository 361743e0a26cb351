"""The table as a Django application declares it: a text that is missing is empty, and never NULL."""

from __future__ import annotations

import uuid

from django.db import models


class Region(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    code = models.CharField(max_length=63, unique=True)
    name = models.CharField(max_length=200)
    bbox_min_lon = models.DecimalField(max_digits=9, decimal_places=6, null=True, blank=True)
    bbox_min_lat = models.DecimalField(max_digits=9, decimal_places=6, null=True, blank=True)
    bbox_max_lon = models.DecimalField(max_digits=9, decimal_places=6, null=True, blank=True)
    bbox_max_lat = models.DecimalField(max_digits=9, decimal_places=6, null=True, blank=True)
    cron_schedule = models.CharField(max_length=200)
    active = models.BooleanField(default=True)
    handler = models.CharField(max_length=100, blank=True, default="")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        db_table = "region_index"
