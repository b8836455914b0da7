"""Hypothesis profiles: a deterministic one by default, a long one with ``pytest --hypothesis-profile=thorough``."""

import os

from hypothesis import settings

settings.register_profile("deterministic", derandomize=True, deadline=None, max_examples=25, print_blob=True)
settings.register_profile("thorough", deadline=None, max_examples=500, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "deterministic"))
