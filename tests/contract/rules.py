"""All rules, in the order in which a run checks them: what takes minutes begins first and is asked for last."""

from __future__ import annotations

from itertools import chain

from tests.contract import calls, never, point_in_time, restored, restoring, tables, tags
from tests.contract.rule import Rule

#: what a run may do beside, if it is asked to: why it is not done otherwise
ALSO = {
    "throttling": "exceeds the rates of ListBackups and DescribeBackup for a second: other clients may be throttled",
    "system-backup": "leaves a system backup of an empty table: free, and deleted by nobody but AWS, after 35 days",
}
_MODULES = (restoring, calls, tables, point_in_time, tags, restored)
RULES: tuple[Rule, ...] = (
    *chain.from_iterable((one for one in vars(module).values() if isinstance(one, Rule)) for module in _MODULES),
    *never.RULES,
)
