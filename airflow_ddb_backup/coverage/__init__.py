"""Which tables have a fresh backup, whoever has made it.

The problem: ListBackups tells backups, not the tables without, and it tells a table's and those of an earlier table of
its name alike. The plan, a chapter each:

* :mod:`.status` says what the backups of a table make of it: fresh, late or none (no I/O);
* :mod:`.check` selects the tables, lists the backups of all of them once, asks for each table's ID, and reports.
"""
