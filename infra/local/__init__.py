"""The whole stack on one machine: PostgreSQL, Azurite, the sample ERP and a local Functions host.

Everything binds to 127.0.0.1, keeps its data under `.local/` and needs nothing but Python and its wheels.
"""
