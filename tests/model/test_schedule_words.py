"""What a schedule says about itself."""

from datetime import UTC, datetime

import pytest

from liteq.model.schedule import AnySchedule
from liteq.model.schedules import at, cron, every, manual

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("schedule", "said"),
    [
        (every(minutes=10), "every 10 minutes"),
        (every(minutes=1), "every minute"),
        (every(minutes=90), "every 1 hour and 30 minutes"),
        (every(weeks=1), "every week"),
        (every(days=14), "every 2 weeks"),
        (every(days=8), "every 8 days"),
        (every(days=1, hours=2, seconds=3.5), "every 1 day, 2 hours, 3 seconds and 500 milliseconds"),
        (every(hours=1, start_at=NOON), "every hour, from 2026-11-24 12:00:00 UTC"),
        (
            every(hours=1, end_at=NOON, max_runs=1),
            "every hour, until 2026-11-24 12:00:00 UTC, 1 time at most",
        ),
        (at(NOON), "once, at 2026-11-24 12:00:00 UTC"),
        (manual(max_runs=2), "only when triggered, 2 times at most"),
        (cron("0 2 * * *", timezone="Europe/Berlin"), "at 02:00 every day, Europe/Berlin"),
        (cron("H 2 * * *"), "by 'H 2 * * *', UTC"),
    ],
)
def test_a_schedule_says_in_english_what_it_does(schedule: AnySchedule, said: str) -> None:
    assert schedule.describe() == said


@pytest.mark.filterwarnings("ignore::liteq.model.schedules.ScheduleWarning")
@pytest.mark.parametrize(
    ("expr", "said"),
    [
        ("* * * * *", "every minute"),
        ("*/5 * * * *", "every 5 minutes"),
        ("0,30 * * * *", "every 30 minutes"),
        ("0,20 * * * *", "at minute 0 and 20 of every hour"),
        ("*/25 * * * *", "at minute 0, 25 and 50 of every hour"),
        ("0 * * * *", "at minute 0 of every hour"),
        ("30 9 * * 1-5", "at 09:30 on Monday to Friday"),
        ("0 2,14 * * *", "at 02:00 and 14:00 every day"),
        ("*/15 9-17 * * 1-5", "every 15 minutes from 09:00 to 17:45 on Monday to Friday"),
        ("30 9-17 * * *", "every hour from 09:30 to 17:30"),
        ("* 2 * * *", "every minute from 02:00 to 02:59"),
        ("25 */2 * * *", "at minute 25 of every 2nd hour"),
        ("*/15 */6 * * *", "every 15 minutes of the hours 0, 6, 12 and 18"),
        ("5,7 3,5,9 * * *", "at minute 5 and 7 of the hours 3, 5 and 9"),
        ("0,7,9,11,13 3 * * *", "at minute 0, 7, 9, 11 and 13 of the hour 3"),
        ("0 0 1 * *", "at 00:00 on the 1st of the month"),
        ("0 0 1,2,3,11,12,22 * *", "at 00:00 on the 1st to 3rd, 11th, 12th and 22nd of the month"),
        ("0 0 */2 * *", "at 00:00 on every 2nd day from the 1st to the 31st of the month"),
        ("0 0 L * *", "at 00:00 on the last day of the month"),
        ("0 0 15,L 2 *", "at 00:00 on the 15th and last day of February"),
        ("0 0 15W * *", "at 00:00 on the weekday nearest to the 15th of the month"),
        ("0 0 * * TUE#2", "at 00:00 on the second Tuesday of the month"),
        ("0 0 * 3 L5", "at 00:00 on the last Friday of March"),
        ("0 0 * * 1#1,1#3", "at 00:00 on the first Monday and third Monday of the month"),
        ("0 0 9 * TUE", "at 00:00 on the 9th of the month and also on Tuesday"),
        ("0 5 31 9 4", "at 05:00 on the 31st of September and also on Thursday in September"),
        ("0 0 1-31 * */2", "at 00:00 every day"),
        ("0 0 * 1-3,12 *", "at 00:00 every day in January to March and December"),
        ("*/5 * * 1 0,6", "every 5 minutes on Saturday and Sunday in January"),
        ("*/5 * * 1 *", "every 5 minutes in January"),
        ("0 0 * * 5-7 0 2030", "at 00:00 on Friday to Sunday, in 2030"),
        ("* * * * * *", "every second"),
        ("* * * * * */25", "at second 0, 25 and 50 of every minute"),
        ("* * * * * */10", "every 10 seconds"),
        ("59 23 * * * 50", "at 23:59:50 every day"),
        ("0 12 * * * *", "every second within the minute, at 12:00"),
        ("*/15 * * * * 10,40", "at second 10 and 40 within the minute, every 15 minutes"),
        ("* 9-17 * * * 10,40", "at second 10 and 40 of every minute from 09:00 to 17:59"),
    ],
)
def test_a_cron_expression_is_told_in_english(expr: str, said: str) -> None:
    assert cron(expr).describe() == f"{said}, UTC"
