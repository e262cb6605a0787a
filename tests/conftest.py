"""What all layers share: the same random inputs in every run, so that a failure is a failure for everybody."""

import hypothesis

hypothesis.settings.register_profile("switchyard", database=None, derandomize=True, deadline=None)
hypothesis.settings.load_profile("switchyard")
