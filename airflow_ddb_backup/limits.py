"""Every number of the package, with its source: *documented* (where), *observed*, or *assumed*. No I/O.

Seconds are plain floats; lengths of time that are compared with AWS's times are ``timedelta``.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

# Rates: calls per second, for an account and region. Documented for each operation in
# https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/, and for GetResources in
# https://docs.aws.amazon.com/general/latest/gr/arg.html. DescribeTable and ListTables have the control plane's, of
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-control-plane.html.
DOCUMENTED_RATES = {
    "CreateBackup": 50.0,
    "DeleteBackup": 10.0,
    "DescribeBackup": 10.0,
    "DescribeContinuousBackups": 10.0,
    "DescribeTable": 2500.0,
    "GetResources": 15.0,
    "ListBackups": 5.0,
    "ListTables": 2500.0,
    "ListTagsOfResource": 10.0,
    "RestoreTableFromBackup": 10.0,
    "RestoreTableToPointInTime": 10.0,
    "TagResource": 5.0,
}
#: fraction of each documented rate that one poller or task uses; the rest is for other clients (chosen)
SHARE = 0.5
#: a burst of throttled calls is one sign of load, not many (chosen)
HALVED_AT_MOST_EVERY = 1.0
#: seconds in which a rate comes back from nothing to its share: five pollers whose shares make up 2.5 times the rate
#: then settle at about the whole of it, with one call in five throttled (computed, tests/unit/test_rates.py)
RATE_RECOVERY = 16.0
LOWEST_RATE_FRACTION = 1 / 32

# Sweeps: a ListBackups of a whole account, page by page.
#: each throttled call in a row doubles what a backup is taken to cost, up to so many pages (chosen): some hours' worth
PAGES_FOR_ONE = 10
#: backups on a page (documented, https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_ListBackups.html)
SWEEP_PAGE = 100
#: backups that nobody waits for: one a night of each of the 2,500 tables that an account has (assumed)
OTHERS_PER_SECOND = 2500 / timedelta(days=1).total_seconds()
#: half-life, in seconds, of the traffic that sweeps have shown (assumed)
TRAFFIC_HALF_LIFE = 300.0
#: ListBackups that was denied is tried again after so many seconds: a policy may have changed (chosen)
DENIED_FOR = 300.0
#: the bounds are on the time of the request, in whole seconds; responses and ARNs have the time of the creation
#: (observed)
SWEEP_MARGIN = timedelta(seconds=2)

# Lags and clocks.
#: ListBackups is eventually consistent (assumed, not documented): a backup not listed after this does not exist
LISTING_LAG = 10.0
LISTING_INTERVAL = 2.5
#: DescribeTable is eventually consistent (documented without a number,
#: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_DescribeTable.html)
DESCRIBE_LAG = 10.0
DESCRIBE_INTERVAL = 2.5
#: a setting is read with a lag (documented for tags and time to live, without a number)
SETTING_LAG = 30.0
SETTING_INTERVAL = 2.0
#: seconds that a clock gains or loses in a second, at most, while NTP corrects it: 500 parts per million (documented,
#: https://www.ntp.org/documentation/4.2.8-series/ntpd/)
LARGEST_DRIFT = 500e-6
#: AWS's clock is known from the Date headers of its responses, which have whole seconds
AWS_CLOCK_TOLERANCE = timedelta(seconds=2)
#: NTP keeps a scheduler's clock within a fraction of this (assumed)
SCHEDULER_CLOCK_TOLERANCE = timedelta(seconds=10)
#: AWS refuses signatures that are 5 minutes off (documented,
#: https://docs.aws.amazon.com/AmazonS3/latest/API/RESTAuthentication.html): no clock is further off than that
LARGEST_CLOCK_ERROR = 300.0

#: on-demand backups are not older: AWS launched them on that day (documented)
FIRST_BACKUP = datetime(2017, 11, 29, tzinfo=UTC)

# Retries.
#: seconds before the second, third, … try: doubled from the first to the second of these, plus up to the third
FIRST_BACKOFF, LONGEST_BACKOFF, BACKOFF_JITTER = 1.0, 30.0, 2.0
#: the last round of tries begins this many seconds before the deadline: time for a call (chosen)
LAST_ROUND = 1.0
#: ambiguous outcomes of one request, each settled by a listing; one more call is not likely to do better (chosen)
AMBIGUOUS_RETRIES = 3
#: a new backup or table may not be known everywhere at once: not found this many times in a row, it is gone (chosen)
NOT_FOUND_LIMIT = 3
#: times that a listing begins, if AWS refuses its cursors (chosen)
MOST_LISTINGS = 5
#: seconds in which a backup in use is tried again; a restore may hold it for hours (chosen)
IN_USE_PATIENCE = 60.0
#: seconds in which a setting that AWS throttles or fails is tried again; then it is left to the task's retry (chosen)
SETTING_PATIENCE = 60.0
#: seconds in which what is asked about one of many tables, or beside the point, is tried again (chosen)
TABLE_PATIENCE = 60.0
#: seconds beside the timeout in which a drill checks its table, and in which it drops it: an older table is a
#: left-over, unless its task is retried (chosen)
CHECKING_PATIENCE, DROPPING_PATIENCE = 1800.0, 1800.0
LEFT_OVER_AGE = timedelta(seconds=CHECKING_PATIENCE + DROPPING_PATIENCE)
#: seconds between looks at a table that is being dropped, which takes AWS tens of them (chosen)
DROPPING_INTERVAL = 5.0
#: bytes of the largest backup that is drilled unasked: 10 GB, whose restore costs 1.50 USD in us-east-1 (chosen)
LARGEST_DRILL = 10 * 1024 * 1024 * 1024
#: a large table may be UPDATING for long, as after a change of its class (documented without a number)
UPDATING_PATIENCE = 1800.0
#: seconds in which reading the source's settings is tried again; nothing was made yet (chosen)
READING_PATIENCE = 300.0
#: seconds in which a restore must begin: meanwhile the task holds a worker (a backup's default timeout)
BEGINNING_PATIENCE = 1800.0

# Calls.
#: seconds of a connection, and of a response: DynamoDB responds in milliseconds, botocore would wait for 60 s
CALL_SECONDS = 10.0
#: STS and an identity provider may take some seconds; waits continue meanwhile (chosen)
OPENING_SECONDS = 30.0
#: so many clients are prepared at once in a process, the others in turn: a triggerer that restarts may need hundreds,
#: and each takes a thread a tenth of a second (chosen)
PREPARATIONS = 3
#: one that has taken so long waits for the network or a disk, and not for the processor: the next begins (chosen)
PREPARING_SECONDS = 1.0
#: a preparation that has hung for so long is left behind, and another one begun, which is given twice the time, and so
#: on: each keeps a thread (chosen)
HANGING_SECONDS = 300.0
#: seconds for which an aiobotocore client that does not reach its endpoint is kept: another is no better, and hundreds
#: of connections may share it (chosen)
REPLACED_AFTER = 60.0
#: botocore renews credentials from 15 minutes before their end; asking for them earlier costs nothing
RENEWAL_INTERVAL = 60.0
#: connections of one aiobotocore client; 0: no limit. Others share it, whom the calls of one that hang would hold up;
#: the rates limit the calls of each
MAX_CONNECTIONS = 0
#: one poll at the deadline, or at the start of a wait that is resumed after it, is answered by then or not at all; many
#: need as much time more as their rate takes
LAST_POLL_LIMIT = 30.0
#: threads that keep up with half of CreateBackup's rate, since DynamoDB responds in tens of milliseconds (measured,
#: ``make bench``)
THREADS = 10

# Logs and messages.
PROGRESS_INTERVAL = 30.0
#: tables, backups or failures that a message names
NAMED = 5
#: tables that the text of a coverage report names, of each kind: a person reads no more in the morning (chosen)
NAMED_IN_TEXT = 20
#: bytes, as JSON, of a coverage report with the ARN of each newest backup; a larger one leaves the ARNs out (chosen:
#: Airflow's database keeps it, as an XCom and with an asset's event)
LARGEST_REPORT = 500_000
#: the version of coverage reports: higher where a reader of this one would read another wrongly
REPORT_VERSION = 1
#: bytes in a kilobyte as AWS counts them (documented, https://aws.amazon.com/dynamodb/pricing/)
KILO = 1024
#: characters of AWS's own text in a message: an event or an XCom of megabytes would not be stored (chosen)
LONGEST_TEXT = 2048
#: deletions that a prune makes unasked: for each very table of the plan, and at least (chosen: the nights after an
#: outage pass, however many tables there are)
DELETIONS_PER_GROUP, FEWEST_DELETIONS = 10, 100
#: the log of a larger plan has a line for each table, and the backups at debug level
LARGEST_LISTED_PLAN = 500

# Airflow.
#: seconds from the last polls at the deadline, which the trigger keeps itself, to Airflow's own limit of a deferral,
#: which ends the task where no triggerer runs
AIRFLOW_LIMIT_AFTER = 30.0
#: An event that comes before the scheduler has taken in the deferral makes Airflow fail the task (3.3.2: "Executor …
#: reported … finished with state success, but the task instance's state attribute is queued"). Observed: 13 of 36
#: tasks failed under load, none with the first event held back for 7 s. apache/airflow #67287 is the variant with the
#: task queued (fixed on main by #68741, not in 3.3.2), #66374 the one with scheduled, #72716 the one with running,
#: open. This may go once the lowest supported Airflow has all three fixes.
FIRST_EVENT_AFTER = 7.0

#: a task of the poller asks again what is next after so long, while what is due waits for another task (chosen)
POLLER_TICK = 1.0
#: after a defect of the poller polling goes on so much later (chosen)
AFTER_A_DEFECT = 5.0
#: seconds between two sendings of what a poller has counted, and the most that its end waits for the last (chosen: as
#: often as StatsD itself sums up, https://github.com/statsd/statsd/blob/master/exampleConfig.js; a loss of the last is
#: better than a wait)
METRICS_INTERVAL, LAST_METRICS = 10.0, 1.0
#: metrics that a poller keeps, should sending hang (chosen: some minutes of calls at AWS's rates)
MOST_KEPT_METRICS = 10_000
#: What was created so many seconds before a wait began, at most, is taken to have become AVAILABLE during it (chosen:
#: a deferral takes some seconds). Of anything older the duration counts only if a poll has seen it unfinished.
JUST_CREATED = 60.0
#: an outage is over when no call has failed for so long: beside a neighbour they fail and succeed in turns (chosen)
STEADY = 30.0

# Parameters.
#: Chosen in the package's first contract: shorter than a minute, a new table's first backup and one burst of throttling
#: already exceed it; beyond two hours, a sensor in its own task is the better place to wait.
SHORTEST_TIMEOUT, LONGEST_TIMEOUT = 60.0, 7200.0
#: 95 % of all restores take under an hour (documented); a week leaves room for the largest (chosen)
LONGEST_RESTORE_TIMEOUT = timedelta(days=7).total_seconds()
#: seconds that Airflow's own arithmetic can still hold in a ``timedelta``; longer than anyone waits (chosen)
LONGEST_WAIT = timedelta(days=3650).total_seconds()
#: the largest whole number that is taken for one, in parameters and what others send: that of 64 bits, as AWS's Long
#: (chosen: Python shows none of more than 4,300 digits)
LARGEST_NUMBER = 0x7FFF_FFFF_FFFF_FFFF
#: no backup is older (documented: those are of 2017 and later), and Python's dates and seconds can hold it (chosen)
LONGEST_AGE = timedelta(days=36500)
#: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_CreateBackup.html
SHORTEST_NAME, LONGEST_NAME = 3, 255
#: characters of a digest in a derived name, 64 bits: two of a million names of one table collide with a chance of 3 in
#: 100 million (computed)
DIGEST_LENGTH = 16
#: characters of the digest of a task in a derived name, 40 bits: two of 10,000 tasks whose readable parts are alike
#: collide with a chance of 5 in 100,000 (computed)
TASK_DIGEST_LENGTH = 10
#: characters of namespace, DAG and task in a derived name: most IDs are shorter, and 105 are left for run and table
#: (chosen)
LONGEST_PARTS = (20, 50, 50)
#: the recovery period of point-in-time recovery where a response has none (documented,
#: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_PointInTimeRecoverySpecification.html)
DEFAULT_RECOVERY_DAYS = 35
#: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_DescribeBackup.html
LONGEST_ARN = 1024
#: https://docs.aws.amazon.com/resourcegroupstagging/latest/APIReference/API_GetResources.html and
#: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Tagging.html
MOST_TAGS, MOST_TAG_VALUES = 50, 20
#: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_Tag.html
LONGEST_TAG_KEY, LONGEST_TAG_VALUE = 128, 256

# The page in Airflow's web UI.
#: since this Airflow a plugin's app can tell by the cookie who is signed in, and has a place in the menu (documented,
#: https://airflow.apache.org/docs/apache-airflow/stable/release_notes.html)
PAGE_AIRFLOW = (3, 1, 3)
#: the newest events of an asset among which the page looks for a task that makes reports (chosen: others may use the
#: asset too, such as a task mapped over tables)
PAGE_RECENT = 50
#: the newest events of one task and asset among which the page looks for accounts and regions: one task, mapped over
#: regions and accounts, makes so many in its last run at most (chosen)
PAGE_EVENTS = 100
#: those of them that are read of each place in the mapped list; a task that is not mapped may be about another account
#: or region each time (chosen: 10 reports of 2,500 tables are read in 0.1 s)
PAGE_READ = 10
#: reports and tables on one page (chosen; 2,500 tables take 0.2 s of the server and 0.3 s of the browser: measured by
#: ``tests/system/test_web_ui.py``)
PAGE_REPORTS, PAGE_TABLES = 50, 10_000
