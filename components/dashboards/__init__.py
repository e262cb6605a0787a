"""The stack's dashboards, each a page of panels for what the stack has."""

from components.dashboards import elasticsearch, mqtt, overview, postgres, rails, sidekiq
from components.dashboards.panels import Dashboard
from components.dashboards.shown import Shown as Shown


def dashboards(shown: Shown) -> list[Dashboard]:
    """Return the dashboards of a stack that has what is `shown`; none where there are neither metrics nor logs."""
    made = [overview.dashboard(shown)] if shown.metrics or shown.logs else []
    if not shown.metrics:
        return made
    made += [rails.dashboard(shown)] if shown.app else []
    made += [sidekiq.dashboard(shown)] if shown.sidekiq else []
    made += [mqtt.dashboard(shown)] if shown.has("mqtt") else []
    made += [postgres.dashboard(shown)] if shown.postgres else []
    return made + ([elasticsearch.dashboard(shown)] if shown.elasticsearch else [])
