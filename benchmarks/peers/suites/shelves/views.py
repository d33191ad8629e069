"""The same views as those of :mod:`benchmarks.peers.models`, for Django."""

from __future__ import annotations

import json

from django.http import HttpRequest, JsonResponse
from django.urls import path

from benchmarks.peers.suites.shelves.models import Shelf


def put_up(request: HttpRequest) -> JsonResponse:
    """Insert a row."""
    Shelf.objects.create(name=json.loads(request.body)["name"])
    return JsonResponse({}, status=201)


def find(request: HttpRequest, name: str) -> JsonResponse:
    """Select a row."""
    shelf = Shelf.objects.get(name=name)
    return JsonResponse({"name": shelf.name, "made": shelf.made})


urlpatterns = [path("shelves", put_up), path("shelves/<name>", find)]
