"""One delivery of a share pack: checked, observed, planned, signed where it must be, applied; or given back.

Called by the queue trigger with ids only. Everything it decides stands in the stores, so that the next delivery of
the same application goes on where this one ended, however it ended.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol
from uuid import UUID

from shared.errors import AppError, FencedError, PermanentError, TransientError
from shared.sharing.apply import Application, Outcome, Provisioning, Step
from shared.sharing.apply_guards import ApplyGuards, StalePlanError
from shared.sharing.approval import Approvals
from shared.sharing.claims import Claim, Wait
from shared.sharing.errors import LeaseHeldError
from shared.sharing.holdings import facts_of_step, gone_after, holdings_of, of_other_tenants
from shared.sharing.model import Finding, SharePack
from shared.sharing.plan import Holdings, Plan
from shared.sharing.ports import Clock, Contribution, Directory, Journal, Leases, Vault, Workspace
from shared.sharing.preflight import directory_findings
from shared.sharing.records import Policy
from shared.sharing.store import Applications, Contributions, Ownership, Packs, Plans, TenantStore
from shared.sharing.views import Actor, PackView, State

SERVICE = Actor("", "tributary", True, None)
MAX_FAILURES = 8
_FIRST_DELAY_S, _LONGEST_DELAY_S, _LEASE_WAIT_S = 30, 3600, 30
_WAITS = "waits for an approver: the plan widens exposure"
# What people are told of; the newest of each, should a process have died before it could.
_TOLD = (State.AWAITING_APPROVAL, State.PARTIAL, State.FAILED, State.VALIDATION_FAILED)
_TOLD_AT_ONCE = 50
# A workspace that changes under every plan is given up on: somebody must look.
_MAX_PLANS = 3


class Notify(Protocol):
    """Keeps a notice for people, once for each version of a pack; raises TransientError where it cannot."""

    def __call__(self, event: str, pack: PackView, detail: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Stores:
    """All that is kept of share packs."""

    packs: Packs
    plans: Plans
    applications: Applications
    contributions: Contributions
    ownership: Ownership
    tenants: TenantStore


@dataclass(frozen=True, slots=True)
class Outside:
    """All that is not ours. `directory` None: nobody can be looked up; `vault` None: no open recipient can be made."""

    workspace: Callable[[str], Workspace]
    leases: Leases
    journal: Callable[[Claim], Journal]
    vault: Vault | None
    directory: Directory | None
    clock: Clock


@dataclass(slots=True)
class Provisioner:
    """Takes share packs from their message to their end. `domains`: our own, whose people are looked up."""

    stores: Stores
    outside: Outside
    default_policy: Policy
    domains: Collection[str]
    send_later: Callable[[UUID, int], None]
    notify: Notify
    tell: Callable[..., None]
    budget_s: float = 240.0
    guards: ApplyGuards = field(default_factory=ApplyGuards)

    def deliver(self, application_uid: UUID, message_id: str, dequeue_count: int) -> None:
        """Work on the application that a message names; what is not to be worked on is acknowledged untouched."""
        answer = self.stores.applications.claim(application_uid, message_id, dequeue_count)
        if isinstance(answer, Wait):
            self.send_later(application_uid, answer.delay_s)
        elif isinstance(answer, Claim):
            self._work(answer)

    def _work(self, claim: Claim) -> None:
        until = self.outside.clock.monotonic() + self.budget_s
        pack = self.stores.packs.get(claim.share_pack_id, None)
        try:
            content = self.stores.packs.content(claim.share_pack_id, claim.pack_version)
            self._provision(_Job(claim, pack, content, self.outside.workspace(pack.workspace), until))
        except FencedError:
            self.tell("share_pack_fenced", share_pack=str(pack.id))
        except LeaseHeldError:
            # Another pack changes the same things and will end: nothing failed, however long that takes.
            self.stores.applications.hand_on(claim, _LEASE_WAIT_S)
            self.tell("share_pack_waits_for_another", share_pack=str(pack.id))
        except TransientError as error:
            self._try_later(claim, pack, error)
        except AppError as error:
            self._end(claim, pack, State.FAILED, error.message, error=error)

    def _try_later(self, claim: Claim, pack: PackView, error: TransientError) -> None:
        if claim.failures + 1 >= MAX_FAILURES:
            given_up = PermanentError(
                f"{error.message}; tried {MAX_FAILURES} times", hint=error.hint, code=error.code
            )
            self._end(claim, pack, State.FAILED, given_up.message, error=given_up)
            return
        delay_s = min(_FIRST_DELAY_S * 2**claim.failures, _LONGEST_DELAY_S)
        wanted_s = max(delay_s, int(error.retry_after_s or 0))
        self.stores.applications.back_off(claim, error, min(wanted_s, _LONGEST_DELAY_S))
        self.tell("share_pack_backs_off", share_pack=str(pack.id), code=error.code, delay_s=wanted_s)

    def _provision(self, job: "_Job") -> None:
        begun = self.stores.plans.begun(job.claim.application_uid)
        if begun is not None:
            try:
                plan = Plan.from_document(begun.document)
                self._apply(job, plan, (*_as_uploaded(job.pack), *self._unasked(), *plan.findings))
            except StalePlanError:
                # Somebody else changed what was half done: what is left is planned, and signed, anew.
                self.stores.plans.abandon(job.claim)
            else:
                return
        refused = self._directory(job.content)
        if any(finding.severity == "error" for finding in refused):
            self._refuse(job, (*_as_uploaded(job.pack), *refused))
            return
        for _ in range(_MAX_PLANS - 1):
            try:
                self._plan_and_apply(job, refused)
            except StalePlanError:
                self.stores.plans.abandon(job.claim)
                continue
            return
        self._plan_and_apply(job, refused)

    def _directory(self, content: SharePack) -> tuple[Finding, ...]:
        if self.outside.directory is None:
            return self._unasked()
        return directory_findings(content, self.outside.directory, domains=self.domains)

    def _unasked(self) -> tuple[Finding, ...]:
        if self.outside.directory is not None:
            return ()
        said = "the directory was not asked: GRAPH_TENANT_ID, GRAPH_CLIENT_ID and GRAPH_CLIENT_SECRET are not set"
        return (Finding("warning", said),)

    def _plan_and_apply(self, job: "_Job", findings: Sequence[Finding]) -> None:
        claim, pack, subject = job.claim, job.pack, Provisioning(job.content)
        plan = subject.plan(self._holdings(pack), subject.observe(job.workspace, {}, map))
        strange = of_other_tenants(job.content, pack.tenant, self.stores.ownership.owned(pack.workspace))
        told = (*_as_uploaded(pack), *findings, *strange, *plan.findings)
        if plan.errors or strange:
            self._refuse(job, told)
            return
        self.stores.plans.keep(claim, plan.hash, plan.to_document(), widens=plan.widens)
        if self._approvals(pack).needed(plan, pack.tenant) and not self.stores.plans.is_approved(
            claim.application_uid, plan.hash
        ):
            self.stores.applications.await_approval(claim, reason=_WAITS, findings=told)
            self.tell("share_pack_waits", share_pack=str(pack.id), actions=plan.writes)
            self._say(pack.id)
            return
        self._apply(job, plan, told)

    def _approvals(self, pack: PackView) -> Approvals:
        own = self.stores.tenants.approval(pack.tenant)
        return Approvals(self.default_policy, {pack.tenant: own} if own else {})

    def _holdings(self, pack: PackView) -> Holdings:
        owned = self.stores.ownership.owned(pack.workspace)
        return holdings_of(
            pack.id, pack.workspace, owned, self.stores.contributions.current(workspace=pack.workspace)
        )

    def _apply(self, job: "_Job", plan: Plan, findings: Sequence[Finding]) -> None:
        claim, pack = job.claim, job.pack
        before = self.stores.contributions.current(workspace=pack.workspace, pack_id=pack.id)
        # Said before anything is granted: who could read what is never told too small, whatever happens next.
        both = tuple({*before, *plan.contributions})
        self.stores.plans.begin(claim, plan.hash, (pack.workspace, both))
        self._record(pack, plan, self._journalled(claim, plan))
        try:
            outcome = self._application(job, plan).run()
        except StalePlanError:
            if not self.outside.journal(claim).entries():
                # Nothing was called: what was said in advance is taken back, whoever decides about the next plan.
                self.stores.plans.begin(claim, plan.hash, (pack.workspace, before))
            raise
        if outcome.state == "CONTINUE":
            self.stores.applications.hand_on(claim)
            self.tell("share_pack_goes_on", share_pack=str(pack.id))
            return
        kept = {"COMPLETED": plan.contributions, "PARTIAL": both, "FAILED": tuple(before)}[outcome.state]
        self._conclude(job, outcome, kept, findings)

    def _application(self, job: "_Job", plan: Plan) -> Application:
        return Application(
            uid=job.claim.application_uid,
            plan=plan,
            subject=Provisioning(job.content),
            holdings=lambda: self._holdings(job.pack),
            workspace=job.workspace,
            journal=self.outside.journal(job.claim),
            leases=self.outside.leases,
            vault=self.outside.vault,
            clock=self.outside.clock,
            # Looking and planning took their part of the delivery's time.
            budget_s=max(0.0, job.until - self.outside.clock.monotonic()),
            progress=lambda step: self._progress(job.pack, plan, step),
            guards=self.guards,
        )

    def _journalled(self, claim: Claim, plan: Plan) -> Mapping[int, Mapping[str, str]]:
        """What was created before a crash, and perhaps never noted as ours."""
        entries = self.outside.journal(claim).entries()
        return {e.position: e.result for e in entries if e.status == "done" and e.position < plan.writes}

    def _record(self, pack: PackView, plan: Plan, done: Mapping[int, Mapping[str, str]]) -> None:
        facts = [
            fact
            for position, result in done.items()
            if (fact := facts_of_step(plan.actions[position], result)) is not None
        ]
        if facts:
            self.stores.ownership.record(pack.workspace, facts, by=SERVICE, share_pack_id=pack.id)
        gone = [each for position in done for each in gone_after(plan.actions[position])]
        self.stores.ownership.forget(pack.workspace, gone)

    def _progress(self, pack: PackView, plan: Plan, step: Step) -> None:
        self.tell(
            "share_pack_step",
            share_pack=str(pack.id),
            step=step.position,
            kind=str(step.kind),
            status=step.status,
        )
        if step.status == "done" or "created" in step.result:
            self._record(pack, plan, {step.position: step.result})

    def _refuse(self, job: "_Job", findings: Sequence[Finding]) -> None:
        errors = [finding.detail for finding in findings if finding.severity == "error"]
        said = "; ".join(errors)
        error = PermanentError(said, code="validation", hint="correct the file and upload it again")
        self._end(job.claim, job.pack, State.VALIDATION_FAILED, said, error=error, findings=findings)

    def _conclude(
        self,
        job: "_Job",
        outcome: Outcome,
        kept: Sequence[Contribution],
        findings: Sequence[Finding],
    ) -> None:
        state = State(outcome.state)
        error = None
        if outcome.message:
            error = PermanentError(
                outcome.message, code="not_all_done", hint="upload the same file again to resume"
            )
        reason = error.message if error else f"{len(outcome.steps)} steps done"
        self._end(job.claim, job.pack, state, reason, error=error, findings=findings, contributions=kept)

    def _end(
        self,
        claim: Claim,
        pack: PackView,
        state: State,
        reason: str,
        *,
        error: AppError | None = None,
        findings: Sequence[Finding] | None = None,
        contributions: Sequence[Contribution] | None = None,
    ) -> None:
        self.stores.applications.finish(
            claim,
            state,
            reason=reason,
            error=error,
            findings=findings,
            contributed=None if contributions is None else (pack.workspace, contributions),
        )
        self.tell("share_pack_ended", share_pack=str(pack.id), state=state.value)
        self._say(pack.id)

    def say_again(self) -> None:
        """Tell what a process that died may have kept to itself; a notice that was kept already stays the one."""
        for state in _TOLD:
            for pack in self.stores.packs.page(None, state=state, limit=_TOLD_AT_ONCE):
                self._notify(pack)

    def _say(self, pack_id: UUID) -> None:
        """The state is kept already, so a failure here is no failure of the pack; `say_again` says it later."""
        try:
            self._notify(self.stores.packs.get(pack_id, None))
        except AppError as error:
            self.tell("notice_not_kept", level=30, share_pack=str(pack_id), code=error.code)

    def _notify(self, pack: PackView) -> None:
        if pack.state is State.AWAITING_APPROVAL:
            self.notify("approval_waiting", pack, _WAITS)
        elif pack.state in _TOLD:
            self.notify("pack_failed", pack, pack.error_message)


def _as_uploaded(pack: PackView) -> tuple[Finding, ...]:
    """What the file itself was warned of, which has its place there: it stays true whatever is planned."""
    return tuple(f for f in pack.findings if f.severity == "warning" and f.place is not None)


@dataclass(frozen=True, slots=True)
class _Job:
    """What one delivery works on; `until`: the monotonic moment at which it hands on."""

    claim: Claim
    pack: PackView
    content: SharePack
    workspace: Workspace
    until: float
