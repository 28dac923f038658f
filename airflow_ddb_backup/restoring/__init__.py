"""Restoring a table, from a backup or to a point in time, with the settings that a restore drops.

The problem: AWS restores the data, the keys and the indexes of a table, always into a new one, and drops tags, table
class, point-in-time recovery, deletion protection, time to live, stream, Kinesis destinations, Contributor Insights,
auto scaling and the resource policy. Neither call that restores has an idempotency token. The plan, a chapter each:

* :mod:`.request` has the values: the restore that a task asks for, what AWS is sent for it, and the
  settings that the new table is to get (no I/O);
* :mod:`.pick` picks the backup, where the task has not its ARN;
* :mod:`.origin` has what differs between a backup and a point in time: the checks, the call, what the source tells;
* :mod:`.restore` checks all that can be known to fail, reads the settings, and starts the restore, or finds the table
  that an earlier try has started;
* :mod:`.settings` has a unit for each setting, which reads it from a table as plain values, tells what another table
  lacks, and which calls put that back;
* :mod:`.put_back` makes these calls: all are tried, each setting is verified by reading it again, and only what differs
  is put back, so that a retry does the rest;
* :mod:`.checks` has a function for each check of a restored table, and :mod:`.drill` restores one only to check it, and
  drops it.

In between the task waits, by :mod:`airflow_ddb_backup.waiting`, as it does for a backup.
"""
