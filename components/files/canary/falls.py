"""The falls that the canary has sent and not seen as alerts yet. Nothing here talks to anybody."""

from dataclasses import dataclass, field

OLDEST_KEPT = 5
"""So many are asked for at most. With the consumer away for long, each later one would be one question more."""


@dataclass
class Fall:
    """One synthetic fall; times are those of a clock that never goes back."""

    id: str
    due: float
    """When it was to be sent."""
    sent: float | None = None
    """When it was handed to the broker; None: it could not be."""
    late: bool = False
    """Whether it was counted as late."""
    unanswered: bool = False
    """Whether a question for it went wrong."""


@dataclass
class Falls:
    """What is outstanding, oldest first."""

    pending: list[Fall] = field(default_factory=list[Fall])

    def add(self, fall: Fall) -> None:
        """Take up a fall that is due, whether or not it can be sent: a lamp that can not send is not heard either."""
        self.pending = [*self.pending, fall][-OLDEST_KEPT:]

    def seen(self, fall: Fall) -> None:
        """Forget a fall whose alert was read, and those before it: the way is open again, and what they missed was counted."""
        self.pending = [one for one in self.pending if one.due > fall.due]

    def outstanding(self, now: float) -> float:
        """Return how long the oldest of them has been waiting, in seconds; 0 when there is none."""
        return max(0.0, now - self.pending[0].due) if self.pending else 0.0

    def become_late(self, now: float, limit: float) -> list[Fall]:
        """Return those that have just become late, once each."""
        fresh = [one for one in self.pending if not one.late and now - one.due > limit]
        for one in fresh:
            one.late = True
        return fresh

    def to_ask(self, turn: int) -> list[Fall]:
        """Return which to ask for now: the newest that was sent always, those before it now and then."""
        sent = [one for one in self.pending if one.sent is not None]
        return sent if turn % 10 == 0 else sent[-1:]


def filled(template: str, fall: str, time: str = "") -> str:
    """Return a template with the fall's id and time in it; other braces, as JSON has them, stay."""
    return template.replace("{id}", fall).replace("{time}", time)
