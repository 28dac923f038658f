"""One wait: a backup that becomes AVAILABLE, a table that becomes ACTIVE, one or thousands, on worker or triggerer.

The problem: AWS allows 10 DescribeBackup and 5 ListBackups calls a second for a whole account and region, and a
triggerer may hold thousands of waits, each of which would poll by itself. Airflow's own shared streams serve event
triggers only, and can't do this. The plan, a chapter each:

* :mod:`.state` says what an observation means for one wait (no I/O), :mod:`.restore_state` what it does for a table
  that a restore makes, and :mod:`.fresh_state` for the next backup of a table;
* :mod:`.planner` says which call comes next, at the rates that AWS allows now (no I/O);
* :mod:`.client` makes the calls, by aiobotocore or by a task's hook, and keeps all that can block off the event loop;
* :mod:`.poller` runs the operations side by side, and delivers what they say to the subscribers;
* :mod:`.awaiting` awaits the end of one wait or of many, on the triggerer or on the worker;
* :mod:`.deferral` hands a wait to the triggerer.
"""
