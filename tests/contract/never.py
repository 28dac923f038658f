"""Rules that no account shows when it is asked to: they are in the result, with the reason."""

from __future__ import annotations

from tests.contract.rule import unseen

_FAILURE = "AWS fails when it does, not when it is asked to"
_COSTS = "it would cost more than cents"
_OTHERS = "it would touch more than the run's own tables"

RULES = (
    unseen(
        "a_lost_response_is_ambiguous",
        "Errors",
        "After InternalServerError, a read timeout or a dropped connection the backup may exist.",
        _FAILURE,
    ),
    unseen(
        "a_creation_may_be_refused_for_a_while",
        "Errors",
        "CreateBackup's TableInUseException, BackupInUseException and LimitExceededException create nothing.",
        "nothing is known that provokes them",
    ),
    unseen(
        "fifty_restores_at_once",
        "Errors",
        'The 51st restore at once is refused: LimitExceededException, "Subscriber limit exceeded…".',
        "it would use up the account's restores",
    ),
    unseen(
        "an_account_has_so_many_tables",
        "Statuses",
        "LimitExceededException also means the account's 2,500 tables or its throughput.",
        "it would use up the account's tables",
    ),
    unseen(
        "other_types_are_not_listed",
        "Calls",
        "Backups of AWS Backup are not listed.",
        _OTHERS,
    ),
    unseen("sizes_are_known_after_hours", "Calls", "BackupSizeBytes and ItemCount lag by hours.", "it takes hours"),
    unseen(
        "a_restore_across_regions",
        "Calls",
        "RestoreTableFromBackup takes an ARN of another region, with SSESpecificationOverride.",
        "it would make a table in another region",
    ),
    unseen(
        "calls_with_an_arn_have_another_host",
        "Calls",
        "Calls that carry an ARN go to ACCOUNT.ddb.REGION.amazonaws.com, unless account_id_endpoint_mode is disabled.",
        "it is botocore's, not AWS's",
    ),
    unseen("expired_credentials", "Errors", "Expired credentials are refused.", "it would take the run's own away"),
    unseen("auto_scaling_is_dropped", "Restoring", "A restore drops auto scaling.", _OTHERS),
    unseen("kinesis_is_dropped", "Restoring", "A restore drops Kinesis destinations.", _COSTS),
    unseen("contributor_insights_are_dropped", "Restoring", "A restore drops Contributor Insights.", _COSTS),
    unseen(
        "keys_of_a_restore",
        "Restoring",
        "A restore needs the key of the backup, and the permissions on a new one.",
        "it would make a KMS key",
    ),
    unseen(
        "tables_have_other_statuses",
        "Statuses",
        "A table can be ARCHIVING, ARCHIVED, INACCESSIBLE_ENCRYPTION_CREDENTIALS or REPLICATION_NOT_AUTHORIZED.",
        "a table is so after days",
    ),
    unseen(
        "tags_lag",
        "Tags",
        "GetResources lags for tags that were changed or removed, by minutes.",
        "it takes longer than a run",
    ),
)
