"""What a cron expression may say: a refusal names the field and comes at once; what passes is understood."""

import time

import pytest
from croniter import croniter  # type: ignore[import-untyped]
from hypothesis import example, given, settings
from hypothesis import strategies as st

from liteq.errors import InvalidSchedule
from liteq.model.cron import compile_cron
from liteq.model.schedules import ScheduleWarning, cron

REFUSED = {
    "minute": [
        "60 * * * *", "61 * * * *", "5-5 * * * *", "*/0 * * * *", "*/00 * * * *", "*/61 * * * *",
        "*/90 * * * *", "0-59/70 * * * *", "58/90 * * * *", "1,2,,3 * * * *", ", * * * *", "1, * * * *",
        "*,5 * * * *", "5,* * * * *", "R * * * *", "R/5 * * * *", "r(1-5) * * * *", "H,5 * * * *",
        "H-5 * * * *", "H(5-5) * * * *", "H(9-5) * * * *", "H(0-99) * * * *", "H/0 * * * *", "H/70 * * * *",
        "H(0-5)/10 * * * *", "H() * * * *", "+5 * * * *", "-5 * * * *", "1.5 * * * *", "1e1 * * * *",
        "0x5 * * * *", "1_0 * * * *", "5- * * * *", "*5 * * * *", "** * * * *", "*-5 * * * *",
        "5-* * * * *", "*/* * * * *", "*/5/5 * * * *", "1-5-7 * * * *", "00000 * * * *", "? * * * *",
        "L * * * *", "MON * * * *", "5-1/2 * * * *", "\x00 * * * *", "99999 * * * *",
    ],
    "hour": [
        "* 24 * * *", "0 5-5 * * *", "0 */25 * * *", "0 ? * * *", "0 9am * * *", "0 22-4/2 * * *",
    ],
    "day of month": [
        "0 0 0 * *", "0 0 32 * *", "* * 0-5 * *", "0 0 5-0 * *", "0 0 */32 * *", "0 0 7-7 * *",
        "0 0 31-L * *", "0 0 L-3 * *", "0 0 LW * *", "0 0 L/2 * *", "0 0 0W * *", "0 0 32W * *",
        "0 0 15W,16W * *", "0 0 3,15W * *", "0 0 1-5W * *", "0 0 W * *", "0 0 JAN * *", "0 0 L * 1",
        "0 0 15W * 1", "0 0 15,L * MON", "0 0 1,? * *", "0 0 30 2 *", "0 0 31 FEB *", "0 0 30-31 2 *",
        "0 0 31 4,6,9,11 *", "0 0 29 2 * 0 2027", "0 0 29 2 * 0 2025-2027", "0 0 31 H *", "0 0 30 H *",
    ],
    "month": [
        "0 0 1 0 *", "0 0 1 13 *", "0 0 1 5-0 *", "0 0 1 5-5 *", "0 0 1 JAN-JAN *", "0 0 1 12-3/2 *",
        "0 0 1 */13 *", "0 0 1 JANUARY *", "0 0 1 MON *", "0 0 1 ? *", "0 0 1 L *",
    ],
    "day of week": [
        "0 0 * * 8", "0 0 * * 5-5", "0 0 * * SUN-SUN", "0 0 * * 7-7", "0 0 * * 7-0", "0 0 * * 7-SUN",
        "0 0 * * 7/2", "0 0 * * 6-2/2", "0 0 * * 5-2/3", "0 0 * * */8", "0 0 * * SUNDAY", "0 0 * * L",
        "0 0 * * L8", "0 0 * * 5L", "0 0 * * FRIL", "0 0 * * MON#6", "0 0 * * MON#0", "0 0 * * 8#1",
        "0 0 * * JAN#1", "0 0 * * 1-5#2", "0 0 * * *#2", "0 0 * * H#2", "0 0 * * MON-MON#2",
        "0 0 * * SUN-SUN#2", "0 0 * * MON#1,FRI", "0 0 * * L5,1", "0 0 * * 0-6,1#2", "0 0 * * L1-3",
        "0 0 13 * FRI#2", "0 0 13 * L5", "0 0 */2 * 1#1", "0 0 * * MON-", "0 0 * * JUL", "0 0 * * 1-L",
    ],
    "second": [
        "* * * * * 60", "* * * * * ?", "0 0 12 * * MON-FRI", "* * * * * 7-7", "* * * * * */61",
    ],
    "year": [
        "0 0 1 1 * 0 1969", "0 0 1 1 * 0 2100", "0 0 1 1 * 0 27", "0 0 1 1 * 0 2030-2027", "0 0 1 1 * 0 H",
        "0 0 1 1 * 0 2030-2030", "0 0 1 1 * 0 */131", "0 0 1 1 * 0 H/2",
    ],
    "cron": [
        "", " ", "* * * *", "* * * * * * * *", "@never", "@reboot", "@every 5m", "@", "@daily @hourly",
        "hello", "*" * 1_000_000, "*," * 100_000, "* * * * *" + " " * 250, "٣ * * * *", "0\u00a00 * * *",
        "0 0 * * \uff2d\uff2f\uff2e", "①②③④⑤ * * * *", "* * * * *\u2028",
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("field", "expr"),
    [(field, expr) for field, exprs in REFUSED.items() for expr in exprs],
    ids=lambda value: ascii(value[:24]),
)
def test_what_would_be_misread_is_refused_at_once_by_the_name_of_its_field(field: str, expr: str) -> None:
    began = time.perf_counter()
    with pytest.raises(InvalidSchedule) as refusal:
        compile_cron(expr, timezone="UTC", name="nightly")

    assert time.perf_counter() - began < 0.1
    assert str(refusal.value).startswith(f"{field}: ")
    assert len(str(refusal.value)) < 500


@pytest.mark.parametrize(
    ("expr", "hint"),
    [
        ("0 0 * * SUNDAY", "three letters"),
        ("0 0 * * 5L", "L5"),
        ("0 0 * * MON#6", "FRI#2"),
        ("R * * * *", "write H"),
        ("H,5 * * * *", "stands alone"),
        ("5-5 * * * *", "write '5'"),
        ("@reboot", "when the program starts"),
        ("0 0 30 2 *", "never fire"),
        ("* * * *", "4 fields"),
        ("60 * * * *", "0 to 59"),
        ("0 0 13 * FRI#2", "cannot be combined"),
    ],
)
def test_a_refusal_says_what_to_write_instead(expr: str, hint: str) -> None:
    with pytest.raises(InvalidSchedule, match=hint):
        compile_cron(expr, timezone="UTC")


@pytest.mark.parametrize(
    ("written", "same"),
    [
        ("@hourly", "0 * * * *"),
        ("@HOURLY", "0 * * * *"),
        (" @daily\n", "0 0 * * *"),
        ("@midnight", "0 0 * * *"),
        ("@weekly", "0 0 * * SUN"),
        ("@monthly", "0 0 1 * *"),
        ("@yearly", "0 0 1 1 *"),
        ("@annually", "0 0 1 1 *"),
        ("\t0  0\t* *  * ", "0 0 * * *"),
        ("0 0 ? * ?", "0 0 * * *"),
        ("*/1 */1 * * *", "* * * * *"),
        ("0/15 * * * *", "0,15,30,45 * * * *"),
        ("00 05 * * *", "0 5 * * *"),
        ("59/15 * * * *", "59 * * * *"),
        ("0 */24 * * *", "0 0 * * *"),
        ("50-10 * * * *", "50-59,0-10 * * * *"),
        ("0 22-4 * * *", "0 22,23,0-4 * * *"),
        ("0 0 25-5 * *", "0 0 25-31,1-5 * *"),
        ("0 0 1 NOV-feb *", "0 0 1 11,12,1,2 *"),
        ("0 0 * * 7", "0 0 * * SUN"),
        ("0 0 * * 0-7", "0 0 * * *"),
        ("0 0 * * SUN-SAT", "0 0 * * *"),
        ("0 0 * * FRI-MON", "0 0 * * 5,6,0,1"),
        ("0 0 * * FRI-7", "0 0 * * 5,6,0"),
        ("0 0 * * MON-SUN/2", "0 0 * * 1,3,5,7"),
        ("0 0 * * L7", "0 0 * * L0"),
        ("0 0 * * MON-WED#2", "0 0 * * 1#2,2#2,3#2"),
        ("0 0 w15 * *", "0 0 15W * *"),
        ("0 0 15-l * *", "0 0 15-31 * *"),
        ("0 0 1 1 * 0 1970-2099", "0 0 1 1 * 0"),
    ],
)
def test_two_spellings_of_one_calendar_are_read_alike(written: str, same: str) -> None:
    assert compile_cron(written, timezone="UTC").calendar == compile_cron(same, timezone="UTC").calendar


def test_croniter_still_misreads_what_the_screen_is_for() -> None:
    """If a release mends one of these, the screen may let it pass."""
    assert croniter("5-5 * * * *", 0).expanded[0] == ["*"]
    assert croniter("0 0 31-L * *", 0).expanded[2] == ["*"]
    assert croniter("0 0 1 5-0 *", 0).expanded[3] == [5, 6, 7, 8, 9, 10, 11, 12]
    assert croniter("0 0 * * 6-2/2", 0).expanded[4] == [2, 6]
    assert croniter("0 0 * * 0-6,1#2", 0).nth_weekday_of_month == {1: {2}}
    assert croniter("0 0 * * 7/2", 0).expanded[4] == [0, 2, 4, 6]
    assert croniter("@daily", 0, hash_id="nightly").expanded[0] != [0]
    assert croniter("0 0 30 2 *", 0).expanded[2] == [30]


LETTERS = st.text(alphabet=" *0123456789,-/#?LWHRlwhmonfebjusatd@()", max_size=40)
FIELD = st.text(alphabet="*0123456789,-/#?LWH", min_size=1, max_size=5)


@settings(max_examples=600, deadline=None)
@given(expr=LETTERS | st.text(max_size=40) | st.lists(FIELD, min_size=5, max_size=7).map(" ".join))
@example("0 0 * * 0#5")
@example("1-5/9999 * * * *")
def test_any_text_is_either_refused_or_fires(expr: str) -> None:
    try:
        spec = compile_cron(expr, timezone="UTC", name="nightly")
    except InvalidSchedule:
        return

    assert spec.next_fire(-1) is not None


@pytest.mark.parametrize(
    "zone",
    [
        "", "Mars/X", "../../etc/passwd", "/usr/share/zoneinfo/UTC", "/etc/passwd", "Europe", "Europe/",
        "europe/berlin", "Europe/Berlin/", "Europe//Berlin", "right/UTC", "posix/UTC", "localtime",
        "posixrules", "tzdata.zi", "+05:00", "UTC+1", "Europe/Berlin\x00", "Europe/B\u00e9rlin",
        "x" * 1_000_000, ".", "..", "C:\\zone", "utc",
    ],
    ids=lambda zone: ascii(zone[:20]),
)  # fmt: skip
def test_what_is_no_time_zone_is_refused(zone: str) -> None:
    with pytest.raises(InvalidSchedule) as refusal:
        compile_cron("0 0 * * *", timezone=zone)

    assert str(refusal.value).startswith("time zone: ")
    assert len(str(refusal.value)) < 200


def test_a_misspelt_time_zone_gets_a_suggestion() -> None:
    with pytest.raises(InvalidSchedule, match="did you mean 'Europe/Berlin'"):
        compile_cron("0 0 * * *", timezone="Europe/Berln")


@pytest.mark.parametrize(
    ("expr", "said"),
    [
        ("0 0 */2 * 1", "match either"),
        ("0 0 1 * */2", "match either"),
        ("0 0 1 * */1", "match either"),
        ("0 12 * * * *", "sixth field is the second"),
        ("0 */5 * * * */10", "sixth field is the second"),
    ],
)
def test_what_is_legal_but_seldom_meant_is_warned_of(expr: str, said: str) -> None:
    with pytest.warns(ScheduleWarning, match=said) as caught:
        cron(expr)

    assert caught[0].filename == __file__


@pytest.mark.parametrize("expr", ["0 0 9 * TUE", "*/2 * * * *", "* * * * * */25", "0 0 */2 * *", "0 0 * * */2"])
def test_what_is_usual_is_not_warned_of(expr: str) -> None:
    assert cron(expr).compiled().warnings == ()
