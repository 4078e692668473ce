"""Faults that only failing disks and kills bring out."""

from tests.mutate.fault import FAILED_SYNCS, FAILING_CALLS, KILLS, STORE, Fault

FILE_FAULTS = (
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
