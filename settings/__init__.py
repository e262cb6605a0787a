"""What a stack may say: one typed, frozen model per component, the layers it is read from, and its errors.

This package imports neither pulumi nor kubernetes, so it can be read and tested in milliseconds.
"""

from settings.errors import SettingsError
from settings.loader import load, resolve
from settings.stack import Settings

__all__ = ["Settings", "SettingsError", "load", "resolve"]
