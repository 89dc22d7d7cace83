"""What all tests share."""

from __future__ import annotations

from hypothesis import settings

# A slow machine is no failure: no example has a time limit of its own, the whole test has.
settings.register_profile("rondel", deadline=None)
settings.load_profile("rondel")
