"""The share packs' routes, under /workflow and in PascalCase: their published clients use it.

Imported only where share packs are enabled.
"""
