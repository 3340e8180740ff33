from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("audit", "0001_initial"),
    ]

    operations = [
        migrations.RemoveIndex(
            model_name="auditevent",
            name="audit_by_object",
        ),
    ]
