"""Faults in the file: whose it may be, what a commit puts into it, what failing disks and kills bring out."""

from tests.mutate.fault import FAILED_SYNCS, FAILING_CALLS, KILLS, SCHEMA, STATEMENTS, STORE, TRANSACTION, Fault

FILE_FAULTS = (
    Fault(
        name="a moved file is written to",
        path=f"{STORE}/writer.py",
        old="if self.connection.file_moved():",
        new="if self.connection.file_moved() and False:",
        tests=(SCHEMA,),
    ),
    Fault(
        name="commits are never synced",
        path=f"{STORE}/writer.py",
        old='True: "PRAGMA synchronous = FULL"',
        new='True: "PRAGMA synchronous = NORMAL"',
        tests=(SCHEMA,),
    ),
    Fault(
        name="a forked child may write",
        path=f"{STORE}/writer.py",
        old="if os.getpid() != self._pid or lineage.forks != self._forks:",
        new="if os.getpid() == 0 and lineage.forks != self._forks:",
        tests=(SCHEMA,),
    ),
    Fault(
        name="what ran beside a failing verb is written twice",
        path=f"{STORE}/shared_commit.py",
        within="def _run_all",
        old="            raise _FailedVerbError from error\n",
        new="            self._run_each(party)\n",
        tests=(TRANSACTION,),
    ),
    Fault(
        name="a failing verb keeps its half in the shared commit",
        path=f"{STORE}/shared_commit.py",
        within="def _run_alone",
        old='            plain("ROLLBACK TO alone")\n',
        new="",
        tests=(TRANSACTION,),
    ),
    Fault(
        name="a tampered schema is accepted",
        path=f"{STORE}/schema.py",
        within="def holds_liteq",
        old="if ours != expected_objects(version):",
        new="if not ours:",
        tests=(SCHEMA,),
    ),
    Fault(
        name="an index is gone",
        path=f"{STORE}/migrations/0001.sql",
        old="CREATE INDEX liteq_job_running ON liteq_job (owner) WHERE state = 5;\n",
        new="",
        tests=(STATEMENTS,),
    ),
    Fault(
        name="the log goes on with a hole after a failed sync",
        path=f"{STORE}/writer.py",
        within="def note_failure",
        old="self._log_in_doubt = True",
        new="self._log_in_doubt = False",
        tests=(FAILED_SYNCS,),
    ),
    Fault(
        name="a checkpoint empties a log with a hole",
        path=f"{STORE}/checkpoint.py",
        old="        self._writer.renew_log()\n",
        new="",
        tests=(FAILED_SYNCS,),
    ),
    Fault(
        name="a journal that a dead process left closes the file for good",
        path=f"{STORE}/file.py",
        within="def _look",
        old="read_only=False",
        new="read_only=True",
        tests=(KILLS,),
    ),
    Fault(
        name="a commit that may have happened is taken for none",
        path=f"{STORE}/translate.py",
        old="unsure = committing and raw in {apsw.IOError, apsw.FullError}",
        new="unsure = committing and raw is apsw.FullError",
        tests=(FAILING_CALLS,),
    ),
)
