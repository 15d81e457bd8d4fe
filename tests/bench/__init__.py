"""`python -m tests.bench`: the product's speed against a bare binary COPY of the very same rows."""
