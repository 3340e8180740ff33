"""The modes that are there from the start."""

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

MODES = {
    "General": "You are a careful assistant. Work only with the material that you are given, and say what is missing.",
    "Sales": (
        "You work for a sales team. Name customers, amounts and dates exactly as they stand in the material, "
        "and end with the next steps that follow from it."
    ),
    "Admin": (
        "You work for an administration. Be formal and complete, keep names, numbers and references exact, "
        "and list what needs a decision."
    ),
}


def add(apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    mode = apps.get_model("workflows", "Mode")
    for name, prompt in MODES.items():
        mode.objects.get_or_create(name=name, defaults={"prompt": prompt})


def remove(apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    apps.get_model("workflows", "Mode").objects.filter(name__in=MODES).delete()


class Migration(migrations.Migration):
    dependencies = [("workflows", "0002_hot_tables")]
    operations = [migrations.RunPython(add, remove)]
