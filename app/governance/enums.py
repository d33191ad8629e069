"""The enumerations of the governance domain; the values are what the database stores."""

from __future__ import annotations

from enum import StrEnum

__all__ = [
    "AgentStatus",
    "CanvasAction",
    "CanvasResult",
    "CanvasType",
    "EpisodeType",
    "ExecutionStatus",
    "FeedbackStatus",
    "FeedbackType",
    "SegmentType",
    "TriggerSource",
    "UserRole",
    "UserStatus",
]


class UserRole(StrEnum):
    """What a person may do."""

    SUPER_ADMIN = "super_admin"
    ADMIN = "admin"
    TEAM_LEAD = "team_lead"
    MEMBER = "member"
    VIEWER = "viewer"
    GUEST = "guest"


class UserStatus(StrEnum):
    """Whether a person's account can be used."""

    ACTIVE = "active"
    SUSPENDED = "suspended"
    PENDING = "pending"
    DELETED = "deleted"


class AgentStatus(StrEnum):
    """An agent's maturity, from the least trusted to the most."""

    STUDENT = "student"
    INTERN = "intern"
    SUPERVISED = "supervised"
    AUTONOMOUS = "autonomous"


class ExecutionStatus(StrEnum):
    """Where an execution stands."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    PAUSED = "paused"
    TIMEOUT = "timeout"


class TriggerSource(StrEnum):
    """What set an execution off."""

    MANUAL = "manual"
    WEBHOOK = "webhook"
    SCHEDULED = "scheduled"
    API = "api"


class FeedbackType(StrEnum):
    """What kind of judgement a person gives."""

    CORRECTION = "correction"
    RATING = "rating"
    APPROVAL = "approval"
    COMMENT = "comment"


class FeedbackStatus(StrEnum):
    """Whether a judgement was taken over."""

    PENDING = "pending"
    ACCEPTED = "accepted"
    REJECTED = "rejected"


class EpisodeType(StrEnum):
    """What an episode was about."""

    TASK = "task"
    INTERACTION = "interaction"
    TRAINING = "training"
    REVIEW = "review"


class SegmentType(StrEnum):
    """What a part of an episode was."""

    TASK = "task"
    INTERACTION = "interaction"
    OBSERVATION = "observation"
    OUTCOME = "outcome"


class CanvasType(StrEnum):
    """What a canvas shows."""

    GENERIC = "generic"
    DOCS = "docs"
    EMAIL = "email"
    SHEETS = "sheets"
    ORCHESTRATION = "orchestration"
    TERMINAL = "terminal"
    CODING = "coding"


class CanvasAction(StrEnum):
    """What was done with a canvas."""

    PRESENT = "present"
    SUBMIT = "submit"
    CLOSE = "close"
    UPDATE = "update"
    EXECUTE = "execute"


class CanvasResult(StrEnum):
    """How what was done with a canvas ended."""

    SUCCESS = "success"
    CANCELLED = "cancelled"
    ERROR = "error"
