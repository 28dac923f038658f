"""Deleting the backups that a policy does not keep, and never anything else.

The problem: every backup is a full copy that is billed until it is deleted, and a deletion can't be undone. The plan:
:mod:`.policy` decides from one table's backups, some rules and the present which are kept, each with its reasons (no
I/O). Invariants:

* the newest AVAILABLE backups stay, as many as ``minimum_redundancy`` says, even if the backups themselves have been
  failing for months;
* only AVAILABLE backups count, and only they are deleted;
* raising a number, adding a rule or adding an older backup never deletes more of the others.
"""
