"""The domain of Tributary and its edges; `functions` calls it through `shared.composition` alone."""
