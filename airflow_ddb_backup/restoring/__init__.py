"""Restoring a table from a backup, with the settings that a restore drops.

The problem: AWS restores the data, the keys and the indexes of a table, always into a new one, and drops tags, table
class, point-in-time recovery, deletion protection, time to live, stream, Kinesis destinations, Contributor Insights,
auto scaling and the resource policy. The plan: :mod:`.settings` has a unit for each, which reads it from a table as
plain values and puts it back, and :mod:`.put_back` does so for several: all are tried, each is verified by reading it
again, and only what differs is put back, so that a retry does the rest.
"""
