"""Triggers, one file each. They hold no decisions: each hands over to the application and returns."""
