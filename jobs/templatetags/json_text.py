"""JSON as readable text."""

from django import template

from jobs.pages.rendered_output import pretty_json

register = template.Library()
register.filter(pretty_json)
