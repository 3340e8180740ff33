"""The front gate, between the sockets and Django. It takes a thread only for a request that has arrived completely.

`server` cuts connections that are too slow, `front_gate` applies the limits of each route, `request_body` reads a body
under a deadline, and `wsgi` runs Django in a thread. The package knows nothing of the site.
"""
