"""The governance interface: JSON below ``/api/governance``."""

from __future__ import annotations

from uuid import UUID

from flask import Blueprint
from flask.typing import ResponseReturnValue

from app.api import answer, answer_list, created, fetch, read_body, read_query
from app.governance import schemas, services
from app.governance.models import (
    AgentExecution,
    AgentFeedback,
    AgentRegistry,
    CanvasAudit,
    Episode,
    User,
)

blueprint = Blueprint("governance", __name__, url_prefix="/api/governance")


@blueprint.get("/users")
def list_users() -> ResponseReturnValue:
    wanted = read_query(schemas.UserListing)
    return answer_list(services.list_users(wanted), schemas.UserView)


@blueprint.post("/users")
def create_user() -> ResponseReturnValue:
    user = services.create_user(read_body(schemas.NewUser))
    return created(user, schemas.UserView, ".show_user", key=user.id)


@blueprint.get("/users/<uuid:key>")
def show_user(key: UUID) -> ResponseReturnValue:
    return answer(fetch(User, key), schemas.UserView)


@blueprint.get("/agents")
def list_agents() -> ResponseReturnValue:
    wanted = read_query(schemas.AgentListing)
    return answer_list(services.list_agents(wanted), schemas.AgentView)


@blueprint.post("/agents")
def create_agent() -> ResponseReturnValue:
    agent = services.create_agent(read_body(schemas.NewAgent))
    return created(agent, schemas.AgentView, ".show_agent", key=agent.id)


@blueprint.get("/agents/<uuid:key>")
def show_agent(key: UUID) -> ResponseReturnValue:
    return answer(fetch(AgentRegistry, key), schemas.AgentView)


@blueprint.get("/executions")
def list_executions() -> ResponseReturnValue:
    wanted = read_query(schemas.ExecutionListing)
    return answer_list(services.list_executions(wanted), schemas.ExecutionView)


@blueprint.post("/executions")
def create_execution() -> ResponseReturnValue:
    execution = services.create_execution(read_body(schemas.NewExecution))
    return created(execution, schemas.ExecutionView, ".show_execution", key=execution.id)


@blueprint.get("/executions/<uuid:key>")
def show_execution(key: UUID) -> ResponseReturnValue:
    return answer(fetch(AgentExecution, key), schemas.ExecutionView)


@blueprint.post("/executions/<uuid:key>/start")
def start_execution(key: UUID) -> ResponseReturnValue:
    return answer(services.start_execution(key), schemas.ExecutionView)


@blueprint.post("/executions/<uuid:key>/finish")
def finish_execution(key: UUID) -> ResponseReturnValue:
    execution = services.finish_execution(key, read_body(schemas.Finish))
    return answer(execution, schemas.ExecutionView)


@blueprint.post("/executions/<uuid:key>/fail")
def fail_execution(key: UUID) -> ResponseReturnValue:
    execution = services.fail_execution(key, read_body(schemas.Failure))
    return answer(execution, schemas.ExecutionView)


@blueprint.get("/feedback")
def list_feedback() -> ResponseReturnValue:
    wanted = read_query(schemas.FeedbackListing)
    return answer_list(services.list_feedback(wanted), schemas.FeedbackView)


@blueprint.post("/feedback")
def give_feedback() -> ResponseReturnValue:
    feedback = services.give_feedback(read_body(schemas.NewFeedback))
    return created(feedback, schemas.FeedbackView, ".show_feedback", key=feedback.id)


@blueprint.get("/feedback/<uuid:key>")
def show_feedback(key: UUID) -> ResponseReturnValue:
    return answer(fetch(AgentFeedback, key), schemas.FeedbackView)


@blueprint.post("/feedback/<uuid:key>/adjudicate")
def adjudicate_feedback(key: UUID) -> ResponseReturnValue:
    feedback = services.adjudicate_feedback(key, read_body(schemas.Adjudication))
    return answer(feedback, schemas.FeedbackView)


@blueprint.get("/episodes")
def list_episodes() -> ResponseReturnValue:
    wanted = read_query(schemas.EpisodeListing)
    return answer_list(services.list_episodes(wanted), schemas.EpisodeView)


@blueprint.post("/episodes")
def create_episode() -> ResponseReturnValue:
    episode = services.create_episode(read_body(schemas.NewEpisode))
    return created(episode, schemas.EpisodeDetail, ".show_episode", key=episode.id)


@blueprint.get("/episodes/<uuid:key>")
def show_episode(key: UUID) -> ResponseReturnValue:
    return answer(fetch(Episode, key), schemas.EpisodeDetail)


@blueprint.post("/episodes/<uuid:key>/close")
def close_episode(key: UUID) -> ResponseReturnValue:
    episode = services.close_episode(key, read_body(schemas.Closing))
    return answer(episode, schemas.EpisodeDetail)


@blueprint.get("/canvas-audits")
def list_canvas_audits() -> ResponseReturnValue:
    wanted = read_query(schemas.CanvasListing)
    return answer_list(services.list_canvas_audits(wanted), schemas.CanvasView)


@blueprint.post("/canvas-audits")
def create_canvas_audit() -> ResponseReturnValue:
    audit = services.create_canvas_audit(read_body(schemas.NewCanvasAudit))
    return created(audit, schemas.CanvasView, ".show_canvas_audit", key=audit.id)


@blueprint.get("/canvas-audits/<uuid:key>")
def show_canvas_audit(key: UUID) -> ResponseReturnValue:
    return answer(fetch(CanvasAudit, key), schemas.CanvasView)
