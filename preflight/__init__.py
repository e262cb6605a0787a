"""What of a cluster would make `up` fail or wait: asked before, side by side, within a minute, and nothing is left behind.

Each module asks about one subject. `run.py` puts them together; `findings.py` has the words of the report.
"""
