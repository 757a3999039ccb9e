"""What many tests share: nothing that hides what a test does."""

from hypothesis import settings

# How long an example takes says how busy the machine is, not whether the code is right.
settings.register_profile("liveglass", deadline=None)
settings.load_profile("liveglass")
