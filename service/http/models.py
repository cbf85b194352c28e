"""The models that are served, and their cards."""

from __future__ import annotations

from fastapi import APIRouter

from service.errors import ModelNotFound
from service.http.context import Wired
from service.http.problems import responses
from service.http.schemas import Models, ModelSummary
from service.inference.card import Card

router = APIRouter(tags=["models"])


@router.get("/models", summary="Which models are served?")
async def models(wired: Wired) -> Models:
    """A line for each model; empty until one is loaded."""
    card = wired.runtime.card
    return Models(models=[] if card is None else [_summary(card)])


@router.get("/models/{name}", summary="A model's card", responses=responses(404))
async def model(name: str, wired: Wired) -> Card:
    """All that a model says of itself: labels, evidence, sampling plan, files, metrics, licences."""
    card = wired.runtime.card
    if card is None or card.name != name:
        raise ModelNotFound(f"no model {name!r} is served", "GET /models lists those that are.")
    return card


def _summary(card: Card) -> ModelSummary:
    return ModelSummary(
        name=card.name,
        version=card.version,
        description=card.description,
        labels=list(card.labels),
        evidence=[kind.name for kind in card.evidence],
        head=card.recurrent.head,
        streams=card.recurrent.streams,
        outputs=[output.name for output in card.recurrent.outputs],
    )
