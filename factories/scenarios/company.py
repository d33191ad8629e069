"""The company of the demo: Larkspur Outfitters, who sell outdoor gear; its agents and its code."""

from __future__ import annotations

from dataclasses import dataclass

from app.governance.models import AgentStatus, CanvasType, TriggerSource, UserRole, UserStatus

__all__ = [
    "AGENTS",
    "DOMAIN",
    "OBJECTIVES",
    "PEOPLE",
    "PROJECTS",
    "AgentProfile",
    "Job",
    "ProjectProfile",
    "Script",
    "Task",
]

DOMAIN = "larkspur.example"


@dataclass(frozen=True)
class Job:
    """A place in the company, and how many people hold it."""

    role: UserRole
    people: int = 1
    status: UserStatus = UserStatus.ACTIVE


PEOPLE = [
    Job(UserRole.SUPER_ADMIN),
    Job(UserRole.ADMIN, 2),
    Job(UserRole.TEAM_LEAD, 3),
    Job(UserRole.MEMBER, 6),
    Job(UserRole.VIEWER, 2),
    Job(UserRole.GUEST),
    Job(UserRole.MEMBER, 1, UserStatus.PENDING),
    Job(UserRole.MEMBER, 1, UserStatus.SUSPENDED),
    Job(UserRole.VIEWER, 1, UserStatus.DELETED),
]


@dataclass(frozen=True)
class Task:
    """A kind of request, and what becomes of it."""

    request: str
    response: str
    error: str
    correction: str


@dataclass(frozen=True)
class AgentProfile:
    """An agent of the fleet: what it is for, and what it is asked to do."""

    name: str
    category: str
    status: AgentStatus
    canvas: CanvasType
    trigger: TriggerSource
    capabilities: tuple[str, ...]
    description: str
    tasks: tuple[Task, ...]


AGENTS = [
    AgentProfile(
        "Returns Clerk",
        "support",
        AgentStatus.STUDENT,
        CanvasType.EMAIL,
        TriggerSource.WEBHOOK,
        ("read orders", "draft replies"),
        "Reads what customers send back and why, and drafts the answer.",
        (
            Task(
                "Draft a reply to {person}, whose {product} arrived damaged.",
                "Drafted an apology to {person}, and a new {product} for order {order}.",
                "Order {order} could not be read: the shop answered with status 502.",
                "Offer a repair first. A new {product} needs the approval of a team lead.",
            ),
            Task(
                "Decide whether order {order} can still be returned.",
                "Order {order} is within thirty days and unworn, so the return is accepted.",
                "The delivery date of order {order} is missing.",
                "The thirty days begin with delivery, not with payment: it is too late by a week.",
            ),
        ),
    ),
    AgentProfile(
        "Shelf Label Writer",
        "merchandising",
        AgentStatus.STUDENT,
        CanvasType.DOCS,
        TriggerSource.MANUAL,
        ("read the catalogue", "write copy"),
        "Writes the short texts that stand next to the products in the stores.",
        (
            Task(
                "Write a label of at most forty words for the new {product}.",
                "Wrote a label of {count} words for the {product}: weight, warmth, guarantee.",
                "The catalogue has no entry for the {product}.",
                "Leave out the price, and do not call the {product} waterproof: it is resistant.",
            ),
            Task(
                "Translate the label of the {product} for the store in {city}.",
                "Translated the label of the {product}, and kept the measures in both systems.",
                "The label of the {product} holds a table that could not be read.",
                "Use the glossary: a word in the second sentence means something else here.",
            ),
        ),
    ),
    AgentProfile(
        "Meeting Scribe",
        "operations",
        AgentStatus.STUDENT,
        CanvasType.DOCS,
        TriggerSource.API,
        ("transcribe", "summarise"),
        "Listens to meetings and sends round what was decided.",
        (
            Task(
                "Summarise the weekly meeting of the warehouse in {warehouse}.",
                "Three decisions and {count} open points; {person} takes the inventory.",
                "The recording ends after four minutes.",
                "The inventory was only proposed. {person} has not agreed to take it.",
            ),
            Task(
                "List what {person} has promised since Monday.",
                "{person} promised {count} things, two of which are late.",
                "Two people called {person} took part, and they could not be told apart.",
                "Promises made to customers count as well; they are in the other list.",
            ),
        ),
    ),
    AgentProfile(
        "Invoice Reconciler",
        "finance",
        AgentStatus.INTERN,
        CanvasType.SHEETS,
        TriggerSource.SCHEDULED,
        ("read invoices", "read the ledger", "propose entries"),
        "Matches the invoices of suppliers with what was ordered and delivered.",
        (
            Task(
                "Match the latest invoices of {company} with the ledger.",
                "Matched {count} invoices of {company}; one differs by {amount}.",
                "The file from {company} is not a PDF.",
                "The difference of {amount} is the freight, which is booked apart.",
            ),
            Task(
                "Find out why {company} was paid twice in one week.",
                "The second payment of {amount} to {company} is for another delivery.",
                "The ledger is locked while the month is being closed.",
                "Look at the reference, not at the sum: it was the same delivery.",
            ),
        ),
    ),
    AgentProfile(
        "Newsletter Drafter",
        "marketing",
        AgentStatus.INTERN,
        CanvasType.EMAIL,
        TriggerSource.MANUAL,
        ("read the catalogue", "write copy", "read statistics"),
        "Drafts the letter that goes out each Thursday.",
        (
            Task(
                "Draft three subject lines for a letter about the {product}.",
                "Drafted three subject lines; the second did best with readers in {city}.",
                "The statistics of the last letter are not there yet.",
                "No exclamation marks, and name the {product} in the first four words.",
            ),
            Task(
                "Write a paragraph about the hike that {person} guides near {city}.",
                "Wrote {count} lines about the hike near {city}, with the meeting point.",
                "No hike near {city} is in the calendar.",
                "The hike is free for members. Say so before the date.",
            ),
        ),
    ),
    AgentProfile(
        "Test Writer",
        "engineering",
        AgentStatus.INTERN,
        CanvasType.CODING,
        TriggerSource.API,
        ("read code", "write tests", "run tests"),
        "Writes the tests that a change has forgotten.",
        (
            Task(
                "Cover the change in {ticket} with tests.",
                "Added {count} tests for {ticket}; one shows a fault in the rounding.",
                "The branch of {ticket} does not build.",
                "Test what the customer sees, not the private function behind it.",
            ),
            Task(
                "Find out why the tests of {ticket} fail only at night.",
                "The tests of {ticket} compare with today's date in the wrong time zone.",
                "The log of the failed run of {ticket} was already deleted.",
                "The time zone is right. It is the order in which the tests run.",
            ),
        ),
    ),
    AgentProfile(
        "Stock Forecaster",
        "inventory",
        AgentStatus.SUPERVISED,
        CanvasType.SHEETS,
        TriggerSource.SCHEDULED,
        ("read sales", "forecast", "propose orders"),
        "Says how much of what each warehouse will need.",
        (
            Task(
                "Forecast how many of the {product} will be sold in {warehouse} next month.",
                "About {count} of the {product}, with nine in ten chances of less than twice that.",
                "Sales of the {product} are missing for six days.",
                "Leave out the week of the sale: it will not come again.",
            ),
            Task(
                "Propose what to order from {company} for {warehouse}.",
                "Proposed {count} items for {amount}; the {product} can wait.",
                "The price list of {company} has expired.",
                "{company} delivers full pallets only. Round up to the next one.",
            ),
        ),
    ),
    AgentProfile(
        "Code Reviewer",
        "engineering",
        AgentStatus.SUPERVISED,
        CanvasType.CODING,
        TriggerSource.WEBHOOK,
        ("read code", "comment", "run linters"),
        "Reads every change before a person does.",
        (
            Task(
                "Review the change for {ticket}.",
                "Two remarks on {ticket}: an index is missing, and a name misleads.",
                "The change for {ticket} is larger than what can be read at once.",
                "The index is there, in the migration of the week before.",
            ),
            Task(
                "Check whether {ticket} can be deployed on a Friday.",
                "{ticket} changes no schema and can be switched off: it can be deployed.",
                "The description of {ticket} is empty.",
                "Nothing that touches payments is deployed on a Friday.",
            ),
        ),
    ),
    AgentProfile(
        "Contract Reader",
        "legal",
        AgentStatus.SUPERVISED,
        CanvasType.DOCS,
        TriggerSource.MANUAL,
        ("read contracts", "compare versions"),
        "Compares what suppliers send with what was agreed.",
        (
            Task(
                "Compare the new contract with {company} with that of last year.",
                "Three clauses differ; payment is now due after {count} days.",
                "Page 4 of the contract is a photograph.",
                "Clause 7 differs as well: the court is now in {city}.",
            ),
            Task(
                "Say when we can leave the contract with {company}.",
                "At the end of each quarter, with {count} days of notice.",
                "The annex that names the term is missing.",
                "The notice runs from the end of the month.",
            ),
        ),
    ),
    AgentProfile(
        "Backup Auditor",
        "engineering",
        AgentStatus.AUTONOMOUS,
        CanvasType.TERMINAL,
        TriggerSource.SCHEDULED,
        ("restore", "compare", "page people"),
        "Restores each night's backup on a spare machine, and compares.",
        (
            Task(
                "Restore last night's backup of the shop and compare it.",
                "Restored in {count} minutes; all tables agree with the original.",
                "The spare machine has no disk space left.",
                "Compare the sequences as well, not only the rows.",
            ),
            Task(
                "Check that backups older than a year are gone.",
                "Deleted {count} backups that were older than a year.",
                "The archive answered too slowly to be listed.",
                "Keep the one of the last day of each year.",
            ),
        ),
    ),
    AgentProfile(
        "Refund Processor",
        "finance",
        AgentStatus.AUTONOMOUS,
        CanvasType.SHEETS,
        TriggerSource.WEBHOOK,
        ("read orders", "refund up to $250", "notify"),
        "Pays back what customers are owed, once a return has arrived.",
        (
            Task(
                "Refund order {order}, which {person} has returned.",
                "Refunded {amount} for order {order}, and told {person}.",
                "The card of {person} has expired.",
                "Refund the shipping as well if the fault was ours.",
            ),
            Task(
                "Check the refunds of this morning for duplicates.",
                "{count} refunds, none of them twice; all together {amount}.",
                "The bank's list for this morning is not complete.",
                "A refund and a voucher for one order are a duplicate, too.",
            ),
        ),
    ),
    AgentProfile(
        "Address Corrector",
        "logistics",
        AgentStatus.AUTONOMOUS,
        CanvasType.ORCHESTRATION,
        TriggerSource.API,
        ("read orders", "look up addresses", "change addresses"),
        "Mends addresses before a parcel leaves the warehouse.",
        (
            Task(
                "Check the addresses of today's parcels from {warehouse}.",
                "Corrected {count} addresses; one parcel to {city} waits for an answer.",
                "The address register could not be reached.",
                "{city} exists in two states. Ask before you choose.",
            ),
            Task(
                "Find the right address for order {order} of {person}.",
                "Order {order} goes to {city}: the house number was in the wrong line.",
                "No address in {city} resembles that of order {order}.",
                "{person} has moved. The new address is in the last message.",
            ),
        ),
    ),
]


@dataclass(frozen=True)
class Script:
    """The conversation about one command."""

    instruction: str
    progress: str
    question: str
    answer: str
    further: str
    completion: str
    summary: str


@dataclass(frozen=True)
class ProjectProfile:
    """A code base, and what is done in it."""

    name: str
    slug: str
    branch: str
    description: str
    scripts: tuple[Script, ...]


PROJECTS = [
    ProjectProfile(
        "Storefront",
        "storefront",
        "main",
        "The shop that customers see: catalogue, basket and checkout.",
        (
            Script(
                "Let the basket survive a login. {ticket} has the details.",
                "I have found where the basket is dropped: the session is renewed at login.",
                "Should the items of both baskets be added up if somebody has two?",
                "Yes, add them up, but never beyond what is in stock.",
                "The baskets are merged now; I am writing tests for a sold-out {product}.",
                "The basket survives a login. {count} tests pass, and {ticket} can be reviewed.",
                "Merged the guest's basket into the customer's at login.",
            ),
            Script(
                "Show in the list of results when the {product} is back in stock.",
                "The stock service has the date already; the page only has to ask for it.",
                "Where should the date stand, below the price or instead of the button?",
                "Instead of the button, with the warehouse that it comes from.",
                "The date is there. I am checking how it looks on a narrow screen.",
                "Each result that is sold out shows its date. A screenshot is in {ticket}.",
                "Sold-out results show when they are back.",
            ),
        ),
    ),
    ProjectProfile(
        "Warehouse API",
        "warehouse-api",
        "release/4.2",
        "What the scanners in the three warehouses talk to.",
        (
            Script(
                "Find out why picking in {warehouse} takes {count} seconds a page.",
                "The list asks for each shelf on its own. I count one query for every row.",
                "May I change the shape of the answer, or do old scanners depend on it?",
                "Keep the shape: the scanners in {warehouse} are updated only in spring.",
                "All shelves come with one query now. I am measuring with last month's data.",
                "A page takes a tenth of a second, and the answer is the same, byte for byte.",
                "One query for all shelves instead of one for each.",
            ),
            Script(
                "Reject a scan of a {product} that belongs to another order.",
                "The check belongs where a scan is stored; I have written a failing test first.",
                "What should the scanner say: only that it is wrong, or where it belongs?",
                "Where it belongs, with the number of the order.",
                "The message is in place; I am translating it for the scanners' short display.",
                "A scan for another order is refused and names that order. See {ticket}.",
                "Scans for another order are refused by name.",
            ),
        ),
    ),
    ProjectProfile(
        "Label Printer",
        "label-printer",
        "main",
        "Turns orders into labels, and drives the printers.",
        (
            Script(
                "Print the return label on the back of the delivery note.",
                "Both fit on one page if the margin shrinks by four millimetres.",
                "May the bar code get smaller as well, or must it keep its size?",
                "It must keep its size, or the scanner in {warehouse} cannot read it.",
                "The bar code keeps its size. I have moved the address of {city} instead.",
                "Both labels are on one sheet. {person} has tried it on the old printer.",
                "Return label on the back of the delivery note.",
            ),
        ),
    ),
    ProjectProfile(
        "Sales Pipeline",
        "sales-pipeline",
        "feature/hourly",
        "Carries the sales of each day to those who forecast.",
        (
            Script(
                "Load the sales each hour instead of each night. The ticket is {ticket}.",
                "The loader can run hourly, but the report reads tables while they are filled.",
                "Is it all right if the report is one hour old?",
                "Yes. {person} needs it only in the morning.",
                "The report reads a snapshot now; I am running a whole day in an hour.",
                "Sales arrive each hour. A day of {count} stores took four minutes.",
                "Hourly loading, with a snapshot for the report.",
            ),
            Script(
                "Drop the sales that were entered for a test in {city}.",
                "They all have the same card, which makes them easy to find.",
                "There are {count} of them, one on a real card. Delete that one as well?",
                "No, keep it. That was {person} buying a {product}.",
                "The others are gone; I am building the totals of the month anew.",
                "The totals agree with the till. One real sale was kept.",
                "Removed the test sales, and kept the real one.",
            ),
        ),
    ),
    ProjectProfile(
        "Handbook",
        "handbook",
        "main",
        "How things are done at Larkspur, for everybody who is new.",
        (
            Script(
                "Write a page on what to do when the till does not start.",
                "The old page describes a till that was replaced two years ago.",
                "Whom should a store call at weekends?",
                "{person}, and after ten at night the number on the till.",
                "The page has four steps and a picture; I am checking the links.",
                "The page is there, and linked from the list of emergencies.",
                "New page: the till does not start.",
            ),
        ),
    ),
]

#: What the work is measured against: each with its texts, the oldest first, and its limits.
OBJECTIVES = [
    (
        (
            "Make the checkout faster before the summer.",
            "Make the checkout faster before the spring catalogue.",
            "Half of all customers check out in under a minute when the spring catalogue is out.",
        ),
        "No change to how cards are charged.",
    ),
    (
        (
            "Fewer wrong parcels.",
            "Fewer than one wrong parcel in two thousand, in all three warehouses.",
        ),
        "The scanners stay as they are until spring.",
    ),
]
