"""Creating one backup per run, however a response is lost, a worker killed, or a task retried or cleared.

The problem: CreateBackup has no idempotency token, names are not unique, a listing may be behind, and a run's tries
share no memory. The plan: :mod:`.request` is what a task asks for, and checks itself; :mod:`.matching` decides from a
run, its name and a listing which backup is the run's (neither does I/O); and :mod:`.find_or_create` makes the calls in
an order in which every outcome can be told:

* a first try of a run that was never cleared has nothing to find, and lists nothing;
* every other try looks for the run's backup for as long as a listing may be behind, and only then creates;
* a call whose outcome is ambiguous is settled by the backups made since that call, before another is made;
* two tries that overlap settle on the older backup, and say so;
* a step that has failed for now is taken again later, and what was done before it is not.

:mod:`.tables` does the same for many tables, with one :mod:`.listing` for all of them.
"""
