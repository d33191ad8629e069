"""Workspace: projects, and the sessions in which agents work on them.

Revision: 0002, after 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)


def choice(constraint: str, *values: str) -> sa.Enum:
    """Text with a CHECK constraint that allows these values only."""
    name = op.f(constraint)
    return sa.Enum(*values, name=name, native_enum=False, create_constraint=True, length=20)


def upgrade() -> None:
    op.create_table(
        "projects",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("slug", sa.String(200), nullable=False),
        sa.Column("path", sa.String(1024), nullable=False),
        sa.Column("github_repo", sa.String(255)),
        sa.Column("current_branch", sa.String(255)),
        sa.Column("description", sa.Text()),
        sa.Column("created_at", MOMENT, server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_projects")),
        sa.UniqueConstraint("path", name=op.f("uq_projects_path")),
        sa.UniqueConstraint("slug", name=op.f("uq_projects_slug")),
    )
    op.create_table(
        "agents",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("session_uuid", sa.Uuid(), nullable=False),
        sa.Column("project_id", sa.BigInteger(), nullable=False),
        sa.Column("registry_id", sa.Uuid()),
        sa.Column("started_at", MOMENT, server_default=sa.func.now(), nullable=False),
        sa.Column("last_seen_at", MOMENT, server_default=sa.func.now(), nullable=False),
        sa.Column("ended_at", MOMENT),
        sa.Column("priority_score", sa.Integer()),
        sa.Column("priority_reason", sa.Text()),
        sa.CheckConstraint(
            "(priority_score IS NULL) = (priority_reason IS NULL)",
            name=op.f("ck_agents_priority_with_reason"),
        ),
        sa.CheckConstraint("ended_at >= started_at", name=op.f("ck_agents_ended_at_after_start")),
        sa.CheckConstraint(
            "last_seen_at >= started_at", name=op.f("ck_agents_last_seen_at_after_start")
        ),
        sa.CheckConstraint(
            "priority_score BETWEEN 0 AND 100", name=op.f("ck_agents_priority_score_range")
        ),
        sa.ForeignKeyConstraint(
            ["project_id"],
            ["projects.id"],
            name=op.f("fk_agents_project_id_projects"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["registry_id"],
            ["agent_registry.id"],
            name=op.f("fk_agents_registry_id_agent_registry"),
            ondelete="SET NULL",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_agents")),
    )
    op.create_index(op.f("ix_agents_project_id"), "agents", ["project_id"])
    op.create_index(op.f("ix_agents_registry_id"), "agents", ["registry_id"])
    op.create_index(op.f("ix_agents_session_uuid"), "agents", ["session_uuid"], unique=True)
    op.create_table(
        "commands",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("agent_id", sa.BigInteger(), nullable=False),
        sa.Column(
            "state",
            choice(
                "ck_commands_state", "idle", "commanded", "processing", "awaiting_input", "complete"
            ),
            nullable=False,
        ),
        sa.Column("instruction", sa.Text()),
        sa.Column("started_at", MOMENT, server_default=sa.func.now(), nullable=False),
        sa.Column("completed_at", MOMENT),
        sa.Column("completion_summary", sa.Text()),
        sa.CheckConstraint(
            "(state = 'complete') = (completed_at IS NOT NULL)",
            name=op.f("ck_commands_completed_at_when_complete"),
        ),
        sa.CheckConstraint(
            "completion_summary IS NULL OR state = 'complete'",
            name=op.f("ck_commands_completion_summary_of_complete"),
        ),
        sa.CheckConstraint(
            "completed_at >= started_at", name=op.f("ck_commands_completed_at_after_start")
        ),
        sa.ForeignKeyConstraint(
            ["agent_id"],
            ["agents.id"],
            name=op.f("fk_commands_agent_id_agents"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_commands")),
    )
    op.create_index(op.f("ix_commands_agent_id"), "commands", ["agent_id"])
    op.create_table(
        "turns",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("command_id", sa.BigInteger(), nullable=False),
        sa.Column("actor", choice("ck_turns_actor", "user", "agent"), nullable=False),
        sa.Column(
            "intent",
            choice(
                "ck_turns_intent",
                "command",
                "answer",
                "question",
                "completion",
                "progress",
                "end_of_command",
            ),
            nullable=False,
        ),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("timestamp", MOMENT, server_default=sa.func.now(), nullable=False),
        sa.Column("answered_by_turn_id", sa.BigInteger()),
        sa.CheckConstraint(
            "answered_by_turn_id <> id", name=op.f("ck_turns_not_answered_by_itself")
        ),
        sa.ForeignKeyConstraint(
            ["answered_by_turn_id"],
            ["turns.id"],
            name=op.f("fk_turns_answered_by_turn_id_turns"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["command_id"],
            ["commands.id"],
            name=op.f("fk_turns_command_id_commands"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_turns")),
    )
    op.create_index(op.f("ix_turns_answered_by_turn_id"), "turns", ["answered_by_turn_id"])
    op.create_index(op.f("ix_turns_command_id"), "turns", ["command_id"])
    op.create_table(
        "events",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("timestamp", MOMENT, server_default=sa.func.now(), nullable=False),
        sa.Column("event_type", sa.String(100), nullable=False),
        sa.Column("payload", JSONB()),
        sa.Column("project_id", sa.BigInteger()),
        sa.Column("agent_id", sa.BigInteger()),
        sa.Column("command_id", sa.BigInteger()),
        sa.Column("turn_id", sa.BigInteger()),
        sa.CheckConstraint(
            "jsonb_typeof(payload) = 'object'", name=op.f("ck_events_payload_is_object")
        ),
        sa.ForeignKeyConstraint(
            ["agent_id"], ["agents.id"], name=op.f("fk_events_agent_id_agents"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["command_id"],
            ["commands.id"],
            name=op.f("fk_events_command_id_commands"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["project_id"],
            ["projects.id"],
            name=op.f("fk_events_project_id_projects"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["turn_id"], ["turns.id"], name=op.f("fk_events_turn_id_turns"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_events")),
    )
    op.create_index(op.f("ix_events_agent_id"), "events", ["agent_id"])
    op.create_index(op.f("ix_events_command_id"), "events", ["command_id"])
    op.create_index(op.f("ix_events_project_id"), "events", ["project_id"])
    op.create_index(op.f("ix_events_turn_id"), "events", ["turn_id"])
    op.create_table(
        "objectives",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("current_text", sa.Text(), nullable=False),
        sa.Column("constraints", sa.Text()),
        sa.Column("priority_enabled", sa.Boolean(), nullable=False),
        sa.Column("set_at", MOMENT, server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_objectives")),
    )
    op.create_table(
        "objective_histories",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("objective_id", sa.BigInteger(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("constraints", sa.Text()),
        sa.Column("started_at", MOMENT, server_default=sa.func.now(), nullable=False),
        sa.Column("ended_at", MOMENT),
        sa.CheckConstraint(
            "ended_at >= started_at", name=op.f("ck_objective_histories_ended_at_after_start")
        ),
        sa.ForeignKeyConstraint(
            ["objective_id"],
            ["objectives.id"],
            name=op.f("fk_objective_histories_objective_id_objectives"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_objective_histories")),
    )
    op.create_index(
        op.f("ix_objective_histories_objective_id"), "objective_histories", ["objective_id"]
    )


def downgrade() -> None:
    op.drop_table("objective_histories")
    op.drop_table("objectives")
    op.drop_table("events")
    op.drop_table("turns")
    op.drop_table("commands")
    op.drop_table("agents")
    op.drop_table("projects")
