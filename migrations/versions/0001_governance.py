"""Governance: users, agents, and what agents have done.

Revision: 0001, after nothing
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)


def choice(constraint: str, *values: str) -> sa.Enum:
    """Text with a CHECK constraint that allows these values only."""
    name = op.f(constraint)
    return sa.Enum(*values, name=name, native_enum=False, create_constraint=True, length=20)


def upgrade() -> None:
    op.create_table(
        "users",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("email", sa.String(254), nullable=False),
        sa.Column("password_hash", sa.String(255), nullable=False),
        sa.Column("first_name", sa.String(100), nullable=False),
        sa.Column("last_name", sa.String(100), nullable=False),
        sa.Column(
            "role",
            choice(
                "ck_users_role", "super_admin", "admin", "team_lead", "member", "viewer", "guest"
            ),
            nullable=False,
        ),
        sa.Column(
            "status",
            choice("ck_users_status", "active", "suspended", "pending", "deleted"),
            nullable=False,
        ),
        sa.Column("phone", sa.String(50)),
        sa.Column("avatar_url", sa.String(2048)),
        sa.Column("created_at", MOMENT, server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sa.UniqueConstraint("email", name=op.f("uq_users_email")),
    )
    op.create_table(
        "agent_registry",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("category", sa.String(100), nullable=False),
        sa.Column("module_path", sa.String(255), nullable=False),
        sa.Column("class_name", sa.String(255), nullable=False),
        sa.Column(
            "status",
            choice("ck_agent_registry_status", "student", "intern", "supervised", "autonomous"),
            nullable=False,
        ),
        sa.Column("confidence", sa.Double(), nullable=False),
        sa.Column("capabilities", JSONB(), nullable=False),
        sa.Column("description", sa.Text()),
        sa.Column("version", sa.String(50), nullable=False),
        sa.Column("created_at", MOMENT, server_default=sa.func.now(), nullable=False),
        sa.CheckConstraint(
            "jsonb_typeof(capabilities) = 'array'",
            name=op.f("ck_agent_registry_capabilities_is_list"),
        ),
        sa.CheckConstraint(
            "confidence BETWEEN 0 AND 1", name=op.f("ck_agent_registry_confidence_range")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_agent_registry")),
    )
    op.create_table(
        "agent_executions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("agent_id", sa.Uuid(), nullable=False),
        sa.Column("user_request", sa.Text(), nullable=False),
        sa.Column(
            "status",
            choice(
                "ck_agent_executions_status",
                "pending",
                "running",
                "completed",
                "failed",
                "cancelled",
                "paused",
                "timeout",
            ),
            nullable=False,
        ),
        sa.Column(
            "trigger_source",
            choice("ck_agent_executions_trigger_source", "manual", "webhook", "scheduled", "api"),
            nullable=False,
        ),
        sa.Column("started_at", MOMENT, server_default=sa.func.now(), nullable=False),
        sa.Column("completed_at", MOMENT),
        sa.Column("response_summary", sa.Text()),
        sa.Column("error_message", sa.Text()),
        sa.Column("tokens_used", sa.BigInteger(), nullable=False),
        sa.Column("duration_ms", sa.BigInteger(), nullable=False),
        sa.Column(
            "maturity_at_execution",
            choice(
                "ck_agent_executions_maturity_at_execution",
                "student",
                "intern",
                "supervised",
                "autonomous",
            ),
            nullable=False,
        ),
        sa.Column("supervision_session_id", sa.Uuid()),
        sa.CheckConstraint(
            "(status = 'completed') = (response_summary IS NOT NULL)",
            name=op.f("ck_agent_executions_response_summary_when_completed"),
        ),
        sa.CheckConstraint(
            "(status = 'failed') = (error_message IS NOT NULL)",
            name=op.f("ck_agent_executions_error_message_when_failed"),
        ),
        sa.CheckConstraint(
            "(status IN ('completed', 'failed', 'cancelled', 'timeout'))"
            " = (completed_at IS NOT NULL)",
            name=op.f("ck_agent_executions_completed_at_when_ended"),
        ),
        sa.CheckConstraint(
            "completed_at >= started_at", name=op.f("ck_agent_executions_completed_at_after_start")
        ),
        sa.CheckConstraint("duration_ms >= 0", name=op.f("ck_agent_executions_duration_ms_range")),
        sa.CheckConstraint("tokens_used >= 0", name=op.f("ck_agent_executions_tokens_used_range")),
        sa.ForeignKeyConstraint(
            ["agent_id"],
            ["agent_registry.id"],
            name=op.f("fk_agent_executions_agent_id_agent_registry"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_agent_executions")),
    )
    op.create_index(op.f("ix_agent_executions_agent_id"), "agent_executions", ["agent_id"])
    op.create_index(op.f("ix_agent_executions_started_at"), "agent_executions", ["started_at"])
    op.create_table(
        "agent_feedback",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("agent_id", sa.Uuid(), nullable=False),
        sa.Column("execution_id", sa.Uuid()),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column(
            "feedback_type",
            choice(
                "ck_agent_feedback_feedback_type", "correction", "rating", "approval", "comment"
            ),
            nullable=False,
        ),
        sa.Column("original_output", sa.Text(), nullable=False),
        sa.Column("user_correction", sa.Text()),
        sa.Column("thumbs_up", sa.Boolean()),
        sa.Column("rating", sa.Integer()),
        sa.Column(
            "status",
            choice("ck_agent_feedback_status", "pending", "accepted", "rejected"),
            nullable=False,
        ),
        sa.Column("created_at", MOMENT, server_default=sa.func.now(), nullable=False),
        sa.Column("adjudicated_at", MOMENT),
        sa.CheckConstraint(
            "(status = 'pending') = (adjudicated_at IS NULL)",
            name=op.f("ck_agent_feedback_adjudicated_at_when_adjudicated"),
        ),
        sa.CheckConstraint(
            "adjudicated_at >= created_at",
            name=op.f("ck_agent_feedback_adjudicated_at_after_creation"),
        ),
        sa.CheckConstraint("rating BETWEEN 1 AND 5", name=op.f("ck_agent_feedback_rating_range")),
        sa.ForeignKeyConstraint(
            ["agent_id"],
            ["agent_registry.id"],
            name=op.f("fk_agent_feedback_agent_id_agent_registry"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["execution_id"],
            ["agent_executions.id"],
            name=op.f("fk_agent_feedback_execution_id_agent_executions"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"],
            ["users.id"],
            name=op.f("fk_agent_feedback_user_id_users"),
            ondelete="RESTRICT",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_agent_feedback")),
    )
    op.create_index(op.f("ix_agent_feedback_agent_id"), "agent_feedback", ["agent_id"])
    op.create_index(op.f("ix_agent_feedback_execution_id"), "agent_feedback", ["execution_id"])
    op.create_index(op.f("ix_agent_feedback_user_id"), "agent_feedback", ["user_id"])
    op.create_table(
        "episodes",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("agent_id", sa.Uuid(), nullable=False),
        sa.Column("title", sa.String(300), nullable=False),
        sa.Column("summary", sa.Text(), nullable=False),
        sa.Column(
            "episode_type",
            choice("ck_episodes_episode_type", "task", "interaction", "training", "review"),
            nullable=False,
        ),
        sa.Column(
            "maturity_at_start",
            choice(
                "ck_episodes_maturity_at_start", "student", "intern", "supervised", "autonomous"
            ),
            nullable=False,
        ),
        sa.Column(
            "maturity_at_end",
            choice("ck_episodes_maturity_at_end", "student", "intern", "supervised", "autonomous"),
            nullable=False,
        ),
        sa.Column("started_at", MOMENT, nullable=False),
        sa.Column("ended_at", MOMENT, nullable=False),
        sa.Column("intervention_count", sa.Integer(), nullable=False),
        sa.Column("constitutional_score", sa.Double(), nullable=False),
        sa.Column("decay_factor", sa.Double(), nullable=False),
        sa.Column("last_accessed_at", MOMENT),
        sa.Column("access_count", sa.Integer(), nullable=False),
        sa.Column("is_consolidated", sa.Boolean(), nullable=False),
        sa.Column("consolidated_into_id", sa.Uuid()),
        sa.CheckConstraint("access_count >= 0", name=op.f("ck_episodes_access_count_range")),
        sa.CheckConstraint(
            "consolidated_into_id <> id", name=op.f("ck_episodes_not_consolidated_into_itself")
        ),
        sa.CheckConstraint(
            "consolidated_into_id IS NULL OR is_consolidated",
            name=op.f("ck_episodes_consolidated_into_another"),
        ),
        sa.CheckConstraint(
            "constitutional_score BETWEEN 0 AND 1",
            name=op.f("ck_episodes_constitutional_score_range"),
        ),
        sa.CheckConstraint(
            "decay_factor BETWEEN 0 AND 1", name=op.f("ck_episodes_decay_factor_range")
        ),
        sa.CheckConstraint("ended_at >= started_at", name=op.f("ck_episodes_ended_at_after_start")),
        sa.CheckConstraint(
            "intervention_count >= 0", name=op.f("ck_episodes_intervention_count_range")
        ),
        sa.ForeignKeyConstraint(
            ["agent_id"],
            ["agent_registry.id"],
            name=op.f("fk_episodes_agent_id_agent_registry"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["consolidated_into_id"],
            ["episodes.id"],
            name=op.f("fk_episodes_consolidated_into_id_episodes"),
            ondelete="SET NULL",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_episodes")),
    )
    op.create_index(op.f("ix_episodes_agent_id"), "episodes", ["agent_id"])
    op.create_index(op.f("ix_episodes_consolidated_into_id"), "episodes", ["consolidated_into_id"])
    op.create_table(
        "episode_segments",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("episode_id", sa.Uuid(), nullable=False),
        sa.Column(
            "segment_type",
            choice(
                "ck_episode_segments_segment_type", "task", "interaction", "observation", "outcome"
            ),
            nullable=False,
        ),
        sa.Column("sequence_order", sa.Integer(), nullable=False),
        sa.Column("content_summary", sa.Text(), nullable=False),
        sa.Column("metadata", JSONB(), nullable=False),
        sa.Column("started_at", MOMENT, nullable=False),
        sa.Column("ended_at", MOMENT, nullable=False),
        sa.Column(
            "agent_maturity",
            choice(
                "ck_episode_segments_agent_maturity",
                "student",
                "intern",
                "supervised",
                "autonomous",
            ),
            nullable=False,
        ),
        sa.Column("confidence_score", sa.Double(), nullable=False),
        sa.CheckConstraint(
            "jsonb_typeof(metadata) = 'object'", name=op.f("ck_episode_segments_metadata_is_object")
        ),
        sa.CheckConstraint(
            "confidence_score BETWEEN 0 AND 1",
            name=op.f("ck_episode_segments_confidence_score_range"),
        ),
        sa.CheckConstraint(
            "ended_at >= started_at", name=op.f("ck_episode_segments_ended_at_after_start")
        ),
        sa.CheckConstraint(
            "sequence_order >= 0", name=op.f("ck_episode_segments_sequence_order_range")
        ),
        sa.ForeignKeyConstraint(
            ["episode_id"],
            ["episodes.id"],
            name=op.f("fk_episode_segments_episode_id_episodes"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_episode_segments")),
        sa.UniqueConstraint(
            "episode_id",
            "sequence_order",
            name=op.f("uq_episode_segments_episode_id_sequence_order"),
        ),
    )
    op.create_table(
        "canvas_audits",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("agent_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column(
            "canvas_type",
            choice(
                "ck_canvas_audits_canvas_type",
                "generic",
                "docs",
                "email",
                "sheets",
                "orchestration",
                "terminal",
                "coding",
            ),
            nullable=False,
        ),
        sa.Column(
            "action",
            choice("ck_canvas_audits_action", "present", "submit", "close", "update", "execute"),
            nullable=False,
        ),
        sa.Column("canvas_data", JSONB(), nullable=False),
        sa.Column("interaction_summary", sa.Text(), nullable=False),
        sa.Column("presented_at", MOMENT, nullable=False),
        sa.Column("closed_at", MOMENT, nullable=False),
        sa.Column(
            "result_status",
            choice("ck_canvas_audits_result_status", "success", "cancelled", "error"),
            nullable=False,
        ),
        sa.Column("error_details", sa.Text()),
        sa.CheckConstraint(
            "error_details IS NULL OR result_status = 'error'",
            name=op.f("ck_canvas_audits_error_details_of_error"),
        ),
        sa.CheckConstraint(
            "jsonb_typeof(canvas_data) = 'object'",
            name=op.f("ck_canvas_audits_canvas_data_is_object"),
        ),
        sa.CheckConstraint(
            "closed_at >= presented_at", name=op.f("ck_canvas_audits_closed_at_after_presentation")
        ),
        sa.ForeignKeyConstraint(
            ["agent_id"],
            ["agent_registry.id"],
            name=op.f("fk_canvas_audits_agent_id_agent_registry"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"],
            ["users.id"],
            name=op.f("fk_canvas_audits_user_id_users"),
            ondelete="RESTRICT",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_canvas_audits")),
    )
    op.create_index(op.f("ix_canvas_audits_agent_id"), "canvas_audits", ["agent_id"])
    op.create_index(op.f("ix_canvas_audits_user_id"), "canvas_audits", ["user_id"])


def downgrade() -> None:
    op.drop_table("canvas_audits")
    op.drop_table("episode_segments")
    op.drop_table("episodes")
    op.drop_table("agent_feedback")
    op.drop_table("agent_executions")
    op.drop_table("agent_registry")
    op.drop_table("users")
