import uuid

from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    operations = [
        migrations.CreateModel(
            name="Region",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("code", models.CharField(max_length=63, unique=True)),
                ("name", models.CharField(max_length=200)),
                ("bbox_min_lon", models.DecimalField(blank=True, decimal_places=6, max_digits=9, null=True)),
                ("bbox_min_lat", models.DecimalField(blank=True, decimal_places=6, max_digits=9, null=True)),
                ("bbox_max_lon", models.DecimalField(blank=True, decimal_places=6, max_digits=9, null=True)),
                ("bbox_max_lat", models.DecimalField(blank=True, decimal_places=6, max_digits=9, null=True)),
                ("cron_schedule", models.CharField(max_length=200)),
                ("active", models.BooleanField(default=True)),
                ("handler", models.CharField(blank=True, default="", max_length=100)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
            ],
            options={
                "db_table": "region_index",
            },
        ),
    ]
