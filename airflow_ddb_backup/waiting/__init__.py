"""Waiting from CREATING to AVAILABLE, on the worker or, for however many tasks, by one poller on the triggerer.

The problem: AWS allows 10 DescribeBackup and 5 ListBackups calls a second for a whole account and region, and a
triggerer may hold thousands of waits, each of which would poll by itself. Airflow's own shared streams serve event
triggers only, and can't do this. The plan, a chapter each:

* :mod:`.state` says what an observation means for one wait (no I/O), :mod:`.restore_state` what it does for a table
  that a restore makes;
* :mod:`.planner` says which call comes next, at the rates that AWS allows now (no I/O);
* :mod:`.rate_limited_client` makes the calls, and keeps all that can block off the event loop;
* :mod:`.poller` runs the two operations side by side, and delivers what they say to the subscribers;
* :mod:`.awaiting` awaits the end of a wait on an event loop, or of many;
* :mod:`.worker` polls one backup or table on the worker, and :mod:`.deferral` hands a wait to the triggerer.
"""
