"""What a stack is made of, without an engine: every Kubernetes object as a plain manifest, secrets replaced by placeholders.

Importing this package does not import pulumi: each stack is built in a process of its own, on Pulumi's mocks.
"""

from rendering.processes import RenderingError, render, render_all
from rendering.resources import SECRET, Rendered, Resource

__all__ = ["SECRET", "Rendered", "RenderingError", "Resource", "render", "render_all"]
