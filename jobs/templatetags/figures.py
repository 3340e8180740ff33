"""Figures as text."""

from django import template

from jobs.pages.formats import dollars, milliseconds, share, whole

register = template.Library()
for each in (whole, share, milliseconds, dollars):
    register.filter(each)
