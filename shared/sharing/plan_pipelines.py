"""What has to change about the jobs and declarative pipelines of a pack."""

from dataclasses import replace

from shared.sharing.model import Pipeline
from shared.sharing.observed import ObservedPipeline
from shared.sharing.plan_actions import Kind, PipelineBody
from shared.sharing.plan_draft import Draft, Ground
from shared.sharing.plan_recipients import not_ours


def plan_pipelines(ground: Ground, draft: Draft) -> None:
    """Create those that are absent, replace the definition of those that differ."""
    for wanted in ground.pack.pipelines:
        target = f"{wanted.type}/{wanted.name}"
        draft.wanted.add(("pipeline", f"{wanted.type}|{wanted.name}"))
        now = ground.observed.pipelines.get((wanted.type, wanted.name))
        if now is None:
            draft.act(Kind.CREATE_PIPELINE, target, PipelineBody(wanted), "is not there yet")
        elif (wanted.type, wanted.name) not in ground.holdings.pipelines:
            draft.error(not_ours(f"{wanted.type.lower()}", wanted.name))
        else:
            _update(target, wanted, now, draft)


def _update(target: str, wanted: Pipeline, now: ObservedPipeline, draft: Draft) -> None:
    whole = replace(
        wanted,
        destination=wanted.destination or now.destination,
        comment=now.comment if wanted.comment is None else wanted.comment,
    )
    differing = [
        name
        for name in ("source", "destination", "schedule", "comment")
        if (getattr(whole, name) or None) != (getattr(now, name) or None)
    ]
    if differing:
        body = PipelineBody(whole, now.id)
        draft.act(Kind.UPDATE_PIPELINE, target, body, f"differs in {', '.join(differing)}")
