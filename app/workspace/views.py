"""The workspace interface: JSON below ``/api/workspace``."""

from __future__ import annotations

from flask import Blueprint
from flask.typing import ResponseReturnValue

from app.api import answer, answer_list, created, fetch, read_body, read_query
from app.workspace import schemas, services
from app.workspace.models import Agent, Command, Event, Objective, Project, Turn

blueprint = Blueprint("workspace", __name__, url_prefix="/api/workspace")


@blueprint.get("/projects")
def list_projects() -> ResponseReturnValue:
    wanted = read_query(schemas.ProjectListing)
    return answer_list(services.list_projects(wanted), schemas.ProjectView)


@blueprint.post("/projects")
def create_project() -> ResponseReturnValue:
    project = services.create_project(read_body(schemas.NewProject))
    return created(project, schemas.ProjectView, ".show_project", key=project.id)


@blueprint.get("/projects/<key:key>")
def show_project(key: int) -> ResponseReturnValue:
    return answer(fetch(Project, key), schemas.ProjectView)


@blueprint.get("/agents")
def list_agents() -> ResponseReturnValue:
    wanted = read_query(schemas.AgentListing)
    return answer_list(services.list_agents(wanted), schemas.AgentView)


@blueprint.post("/agents")
def start_agent() -> ResponseReturnValue:
    agent = services.start_agent(read_body(schemas.NewAgent))
    return created(agent, schemas.AgentView, ".show_agent", key=agent.id)


@blueprint.get("/agents/<key:key>")
def show_agent(key: int) -> ResponseReturnValue:
    return answer(fetch(Agent, key), schemas.AgentView)


@blueprint.post("/agents/<key:key>/end")
def end_agent(key: int) -> ResponseReturnValue:
    return answer(services.end_agent(key), schemas.AgentView)


@blueprint.get("/commands")
def list_commands() -> ResponseReturnValue:
    wanted = read_query(schemas.CommandListing)
    return answer_list(services.list_commands(wanted), schemas.CommandView)


@blueprint.post("/commands")
def create_command() -> ResponseReturnValue:
    command = services.create_command(read_body(schemas.NewCommand))
    return created(command, schemas.CommandDetail, ".show_command", key=command.id)


@blueprint.get("/commands/<key:key>")
def show_command(key: int) -> ResponseReturnValue:
    return answer(fetch(Command, key), schemas.CommandDetail)


@blueprint.post("/commands/<key:key>/move")
def move_command(key: int) -> ResponseReturnValue:
    command = services.move_command(key, read_body(schemas.Move))
    return answer(command, schemas.CommandDetail)


@blueprint.get("/turns")
def list_turns() -> ResponseReturnValue:
    wanted = read_query(schemas.TurnListing)
    return answer_list(services.list_turns(wanted), schemas.TurnView)


@blueprint.post("/turns")
def create_turn() -> ResponseReturnValue:
    turn = services.create_turn(read_body(schemas.NewTurn))
    return created(turn, schemas.TurnView, ".show_turn", key=turn.id)


@blueprint.get("/turns/<key:key>")
def show_turn(key: int) -> ResponseReturnValue:
    return answer(fetch(Turn, key), schemas.TurnView)


@blueprint.get("/events")
def list_events() -> ResponseReturnValue:
    wanted = read_query(schemas.EventListing)
    return answer_list(services.list_events(wanted), schemas.EventView)


@blueprint.post("/events")
def record_event() -> ResponseReturnValue:
    event = services.record_event(read_body(schemas.NewEvent))
    return created(event, schemas.EventView, ".show_event", key=event.id)


@blueprint.get("/events/<key:key>")
def show_event(key: int) -> ResponseReturnValue:
    return answer(fetch(Event, key), schemas.EventView)


@blueprint.get("/objectives")
def list_objectives() -> ResponseReturnValue:
    wanted = read_query(schemas.ObjectiveListing)
    return answer_list(services.list_objectives(wanted), schemas.ObjectiveView)


@blueprint.post("/objectives")
def create_objective() -> ResponseReturnValue:
    objective = services.create_objective(read_body(schemas.ObjectiveText))
    return created(objective, schemas.ObjectiveDetail, ".show_objective", key=objective.id)


@blueprint.get("/objectives/<key:key>")
def show_objective(key: int) -> ResponseReturnValue:
    return answer(fetch(Objective, key), schemas.ObjectiveDetail)


@blueprint.put("/objectives/<key:key>")
def set_objective(key: int) -> ResponseReturnValue:
    objective = services.set_objective(key, read_body(schemas.ObjectiveText))
    return answer(objective, schemas.ObjectiveDetail)
