"""Deleting the backups that a policy does not keep, and never anything else.

The problem: every backup is a full copy that is billed until it is deleted, and a deletion can't be undone. The plan, a
chapter each:

* :mod:`.policy` decides from one table's backups, some rules and the present which are kept, each with its reasons (no
  I/O);
* :mod:`.plan` tells whose backups they are, and makes one plan for all tables (no I/O);
* :mod:`.prune` makes the calls around it: select, list, plan, check the rails, delete, raise for what failed;
* :mod:`.delete` deletes one backup.

Invariants:

* the newest AVAILABLE backups of each very table stay, as many as ``minimum_redundancy`` says, even if the backups
  themselves have been failing for months; in each round they are described before any other of their table is deleted,
  since a listing may be behind, and so are the tags of a table that was selected by them;
* only AVAILABLE backups of users with the prefix count, and only they are deleted;
* nothing is deleted before every page of every listing was read, nor what was made since the task began;
* a table whose tags or backups can't be read, or whose deletions are denied, loses nothing more; the others are
  pruned;
* raising a number, adding a rule or adding an older backup never deletes more of the others.
"""
