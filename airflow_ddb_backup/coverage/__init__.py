"""Which tables have a fresh backup, whoever has made it.

The problem: ListBackups tells backups, not the tables without, and it tells a table's and those of an earlier table of
its name alike. The plan, a chapter each:

* :mod:`.status` says what the backups of a table make of it: fresh, late or none (no I/O);
* :mod:`.check` selects the tables, lists the backups of all of them once, asks for each table's ID, and reports;
* :mod:`.plugin` registers the page in Airflow's web UI, :mod:`.page` is its app, and :mod:`.view` is a report as it
  shows it (no I/O).
"""
