"""The records of jobs that have ended."""

from __future__ import annotations

import platform

from cdnbench.design import both
from cdnbench.loaded import LoadedMethod
from cdnbench.printable import printable
from cdnbench.record import JobRecord, Record, Status
from cdnbench.registry import METHODS, package_of
from cdnbench.runners.messages import Outcome
from cdnbench.runners.plan import Fit, Job, Plan
from cdnbench.runners.provenance import provenance
from cdnbench.runners.trainer import Trained
from cdnbench.suite import Suite


def job_record(
    plan: Plan,
    job: Job,
    outcome: Outcome,
    started_at: str,
    timing: bool = False,
    trained: Trained | None = None,
) -> JobRecord:
    """The record of a job that ended."""
    info, suite, spec, said = job.method.info, plan.suite, job.spec, outcome.prediction
    failed_fit = trained is not None and trained.record.status != Status.ok
    return JobRecord(
        key=job.key,
        suite=plan.suite_name,
        task=spec.name,
        task_hash=spec.hash,
        metadata=dict(spec.metadata),
        setting=tuple(suite.info.setting),
        factors=dict(suite.info.factors),
        method=info.name,
        method_version=info.version,
        code=job.method.code(),
        variants=tuple(info.variants),
        parameters=dict(job.method.parameters),
        trained_on=both(job.method.trained_on(), job.fit.laws if job.fit else {}),
        design=info.design,
        knowledge=_given(job.fit, suite) if job.fit else {},
        seed=job.seed,
        status=outcome.status,
        reason=printable(outcome.reason),
        outside=outcome.outside,
        note="" if said is None else printable(said.note),
        converged=None if said is None else said.converged,
        facts={} if said is None else said.facts,
        batch_size=outcome.batch_size,
        wall_s=outcome.wall_s,
        wall_s_single=outcome.wall_s_single if timing else None,
        timing=outcome.timing,
        cpu_s=outcome.cpu_s,
        peak_rss_mb=outcome.peak_rss_mb,
        peak_gpu_mb=outcome.peak_gpu_mb,
        device=job.method.device,
        threads=plan.limits.threads,
        timeout_s=job.timeout_s,
        memory_gb=plan.limits.memory_gb,
        log=outcome.log,
        fit=job.fit.key if job.fit else "",
        unfitted=trained.record.status if trained is not None and failed_fit else None,
        started_at=started_at,
        provenance=provenance(package_of(METHODS, info.name)),
    )


def _given(fit: Fit, suite: Suite) -> dict[str, str]:
    """What the method was trained with, as far as the fit's suite can vary it: knowledge, and the
    training tasks where they are not the usual ones."""
    given, names = dict(fit.knowledge), [suite.knowledge] if fit.knowledge else []
    if suite.training_set:
        given["training"] = fit.specs_digest
        names.append(suite.training_set)
    return {"name": ", ".join(filter(None, names)), **given} if given else {}


def unfitted(trained: Trained) -> Outcome:
    """The outcome of a job whose method could not be trained."""
    record = trained.record
    reason = f"cannot be trained: {record.reason}"
    if record.failed:
        reason = f"fit failed: {record.status}: {record.reason}"
    return Outcome(Status.skipped, reason, log=record.log, outside=record.outside)


def has_other_code(record: Record, method: LoadedMethod) -> bool:
    """Whether the code of a method is other than it was when a result was stored. Nothing is said
    of records that do not know, and of those of another version of Python, which reads code into
    another form."""
    here, there = platform.python_version_tuple(), record.provenance.versions.get("python", "")
    same_python = there.split(".")[:2] == list(here[:2])
    return bool(record.code and same_python and (now := method.code()) and now != record.code)


def same_machine(one: JobRecord, other: JobRecord) -> bool:
    """Whether two jobs ran on one machine, with the same device and number of threads."""
    return all(
        a == b
        for a, b in (
            (one.provenance.host, other.provenance.host),
            (one.device, other.device),
            (one.threads, other.threads),
        )
    )
