"""Faults in the transactions of applications."""

from tests.mutate.fault import STATEMENTS_FACE, STORE, TRANSACTION, TRANSACTIONS_FACE, Fault

TRANSACTIONS_FAULTS = (
    Fault(
        name="triggers stay at work for the engine after a statement of the application's",
        path=f"{STORE}/application_sql.py",
        within="def _harden",
        old="raw.config(part, 0)",
        new="raw.config(part, 1)",
        tests=(STATEMENTS_FACE,),
    ),
    Fault(
        name="the guard stays behind after a statement of the application's",
        path=f"{STORE}/application_sql.py",
        within="def _harden",
        old="raw.authorizer = None",
        new="pass",
        tests=(STATEMENTS_FACE,),
    ),
    Fault(
        name="an application's trigger writes in the tables of liteq",
        path=f"{STORE}/authorizing.py",
        within="def _judge_write",
        old='if table.startswith("liteq_") or (table in _COUNTS and not self.altered):',
        new="if table in _COUNTS and not self.altered:",
        tests=(STATEMENTS_FACE,),
    ),
    Fault(
        name="a table is renamed to a name of liteq's",
        path=f"{STORE}/application_sql.py",
        within="def _run",
        old="                self._check_schema()\n",
        new="                pass\n",
        tests=(STATEMENTS_FACE,),
    ),
    Fault(
        name="what follows in a lost transaction is committed alone",
        path=f"{STORE}/writer.py",
        within="def holds",
        old="        self.refuse_when_lost()\n",
        new="",
        tests=(STATEMENTS_FACE,),
    ),
    Fault(
        name="a limit that an undone block took back is forgotten",
        path=f"{STORE}/transacting.py",
        within="def _savepoint",
        old="                writer.epoch += 1\n",
        new="",
        tests=(TRANSACTIONS_FACE,),
    ),
    Fault(
        name="no time limit strikes in an application's block",
        path=f"{STORE}/transacting.py",
        within="def busy_here",
        old="if self.application.thread != get_ident() or self.application.joined:",
        new="if self.application.thread:",
        tests=(TRANSACTION,),
    ),
    Fault(
        name="a time limit strikes in the middle of a statement or a verb",
        path=f"{STORE}/transacting.py",
        within="def _engine_runs",
        old="        if module.startswith(_ROOM):\n            return True\n",
        new="",
        tests=(TRANSACTION,),
    ),
    Fault(
        name="a schedule that an undone block stored is taken for stored",
        path="liteq/transacting.py",
        old="            self._forget_stored()\n",
        new="            pass\n",
        tests=(TRANSACTIONS_FACE,),
    ),
)
