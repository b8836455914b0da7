"""Hypothesis profiles: a deterministic one by default, a longer one on request (HYPOTHESIS_PROFILE=long)."""

import os

from hypothesis import settings

settings.register_profile("deterministic", derandomize=True, deadline=None, max_examples=25, print_blob=True)
settings.register_profile("long", deadline=None, max_examples=500, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "deterministic"))
