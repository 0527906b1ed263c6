"""From ledger rows to work: what a job works on, the digest that names it, the order that its process gets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import sqlalchemy as sa

from analyses.contract import Analysis, Cost
from dicom_io.results.run import RunState
from service import __version__, jobs
from service.config import Config
from service.jobs import Wanted
from service.ledger import Ledger, Row, inputs_of, instances, results, series, studies
from service.order import OUTCOME_FILE, REPORT, REPORT_VERSION, Order, Outcome, RunOrder, analysis_digest, inputs_digest
from service.plan import Plan
from service.spool import Spool, safe_name
from service.states import InstanceState, JobState

REPORT_COST = Cost(threads=1, memory_mb=2000, time_limit_s=600)
STATE_OF_RUN = {
    JobState.DONE: RunState.DONE,
    JobState.UNSUITABLE: RunState.UNSUITABLE,
    JobState.WAITING: RunState.NOT_RUN,
    JobState.DEAD: RunState.FAILED,
}
Held = Mapping[str, Sequence[Row]]  # stored instances by series


class Assigner:
    """Knows which files and which words of the configuration make up a job."""

    def __init__(self, config: Config, ledger: Ledger, spool: Spool, analyses: Mapping[str, Analysis]) -> None:
        self.ledger = ledger
        self.spool = spool
        self.analyses = analyses
        self.site = config.site
        self.rules = tuple(rule.model_dump() for rule in config.roles)

    def instances(self, study_uid: str) -> dict[str, list[Row]]:
        """Stored instances of a study by series."""
        query = sa.select(instances).where(
            instances.c.study_uid == study_uid, instances.c.state == InstanceState.STORED
        )
        found: dict[str, list[Row]] = {}
        for row in self.ledger.all(query.order_by(instances.c.series_uid)):
            found.setdefault(row["series_uid"], []).append(row)
        return found

    def reported_instances(self, study_uid: str) -> dict[str, list[Row]]:
        """The same without Betz's own results that a PACS sent back: a report on a report would never end."""
        query = sa.select(results.c.series_uid).where(results.c.study_uid == study_uid)
        ours = {row["series_uid"] for row in self.ledger.all(query)}
        return {uid: rows for uid, rows in self.instances(study_uid).items() if uid not in ours}

    def wanted(self, study_uid: str, plan: Plan, held: Held) -> list[Wanted]:
        """The jobs of a plan, named by what they work on."""
        return [
            Wanted(
                job.analysis.name,
                job.analysis.version,
                self._digest(study_uid, job.analysis.name, job.analysis.version, job.series, held),
                job.series,
                job.runnable,
                job.reason,
            )
            for job in plan.jobs
        ]

    def wanted_report(self, study_uid: str) -> Wanted:
        """The report on all series of a study and on the ends of all its analyses."""
        held = self.reported_instances(study_uid)
        files = [(row["sop_instance_uid"], row["sha256"]) for rows in held.values() for row in rows]
        ends = [
            # why a series was chosen is not in the report, and is not known after a rebuild of the ledger
            f"{job['job_id']} {job['state']} {'' if job['state'] == JobState.DONE else job['reason']}"
            for job in jobs.of_study(self.ledger, study_uid)
            if job["analysis"] != REPORT
        ]
        table = [
            f"{row['series_uid']} {row['role']} {row['body']} {row['reason']}"
            for row in self.ledger.all(sa.select(series).where(series.c.study_uid == study_uid))
            if row["series_uid"] in held
        ]
        words = (study_uid, REPORT, REPORT_VERSION, *self._maker(), *sorted(ends), *sorted(table))
        return Wanted(REPORT, REPORT_VERSION, inputs_digest(files, *words), {}, True, "")

    def is_current(self, job: Row) -> bool:
        """Whether the job's files are still those that it was planned on."""
        if job["analysis"] == REPORT:
            return self.wanted_report(job["study_uid"]).job_id == str(job["job_id"])
        # by the version, not the digest: that holds words of the configuration too, which nobody plans anew
        study = self.ledger.one(sa.select(studies.c.version).where(studies.c.study_uid == job["study_uid"]))
        return study is not None and study["version"] == job["study_version"]

    def cost(self, job: Row) -> Cost:
        """What the job may use."""
        return REPORT_COST if job["analysis"] == REPORT else self.analyses[job["analysis"]].cost

    def order(self, job: Row) -> Order:
        """The order of a job, as its process gets it."""
        order = Order(
            job_id=job["job_id"],
            study_uid=job["study_uid"],
            study_version=job["study_version"],
            analysis=job["analysis"],
            version=job["analysis_version"],
            digest=jobs.digest_of(job),
            inputs=inputs_of(job),
            series=self._files(self.instances(job["study_uid"]), set(inputs_of(job).values())),
            rules=self.rules,
            folder=str(self.spool.path / job["folder"]),
            at=job["created_at"],
            software_version=__version__,
            device_serial=self.site.device_serial,
            timezone=self.site.timezone,
            threads=self.cost(job).threads,
        )
        if job["analysis"] != REPORT:
            return order
        held = self.reported_instances(job["study_uid"])
        return replace(
            order,
            series=self._files(held, set(held)),
            runs=self._runs(job["study_uid"]),
            predecessor=self._predecessor(job),
        )

    def _digest(self, study_uid: str, analysis: str, version: str, inputs: Mapping[str, str], held: Held) -> str:
        files = [(row["sop_instance_uid"], row["sha256"]) for uid in set(inputs.values()) for row in held.get(uid, ())]
        return analysis_digest(files, study_uid, (analysis, version), inputs, self._maker())

    def _maker(self) -> tuple[str, str]:
        """What of the configuration stands in every object."""
        return self.site.device_serial, self.site.timezone

    def _files(self, held: Held, chosen: set[str]) -> dict[str, tuple[str, ...]]:
        return {
            uid: tuple(str(self.spool.path / row["path"]) for row in rows)
            for uid, rows in held.items()
            if uid in chosen
        }

    def _runs(self, study_uid: str) -> tuple[RunOrder, ...]:
        by_name = {job["analysis"]: job for job in jobs.of_study(self.ledger, study_uid)}
        return tuple(self._run(by_name[name], analysis) for name, analysis in self.analyses.items() if name in by_name)

    def _run(self, job: Row, analysis: Analysis) -> RunOrder:
        done = job["state"] == JobState.DONE
        return RunOrder(
            analysis=analysis.name,
            version=job["analysis_version"],  # not the registry's: Betz may be newer than this result
            technique=str(analysis.technique),
            inputs=inputs_of(job),
            state=str(STATE_OF_RUN[JobState(job["state"])]),
            reason="" if done else job["reason"],
            folder=str(self.spool.path / job["folder"]) if done else "",
        )

    def _predecessor(self, job: Row) -> str:
        """SR of the study's latest report before this one; the results folders know it, also after a rebuild."""
        latest, found = 0.0, ""
        folder = self.spool.path / "results" / safe_name(job["study_uid"])
        for path in sorted(Path(folder).glob(f"{REPORT}-*/{OUTCOME_FILE}")):
            outcome = Outcome.read(path)
            reports = [one for one in outcome.objects if one.kind == "sr"]
            if reports and latest < outcome.at < job["created_at"]:
                latest, found = outcome.at, str(path.parent / reports[0].file)
        return found
