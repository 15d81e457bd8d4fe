"""`python -m infra.package`: the deployable zip, and what it weighs.

contents     which of our own files go in: an allow-list
target       the platform that the zip runs on, and what the requirement files mean there
wheels       its dependencies, installed for that platform from wheels alone
archive      the same files make the same bytes
cold_start   how long the unpacked zip takes to import
"""
