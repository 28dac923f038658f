"""One try of a task, in a process that can be killed.

``python -m tests.system.one_try TRY_NUMBER RUN_AFTER``, the latter as Unix seconds, prints the ARN.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime

from airflow_ddb_backup.operators.dynamodb import DynamoDBCreateBackupOperator
from tests.unit.conftest import FakeTaskInstance, context_of

if __name__ == "__main__":
    task = DynamoDBCreateBackupOperator(task_id="back_up", table_name="orders")
    due = datetime.fromtimestamp(float(sys.argv[2]), tz=UTC)
    arn = task.execute(context_of(FakeTaskInstance(try_number=int(sys.argv[1]), run_after=due)))
    sys.stdout.write(f"\n{arn}\n")
