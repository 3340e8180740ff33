"""The builder: a form with the steps of a workflow, made from the JSON of a job and back into it.

`builder` is the whole form, `step_form` one step, `argument_fields` the fields for the arguments of a tool. What is
entered is checked by the serializers of the API.
"""
