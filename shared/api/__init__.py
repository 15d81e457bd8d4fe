"""The HTTP interface: FastAPI behind one trigger, imported on the first request.

gate.py        every request: token, rate, size, and the last resort for errors
access.py      every route: its minimal role, and what the caller's tenants let him see
problems.py    errors as application/problem+json
app.py         the application; one module a group of routes beside it
"""
