"""A table to try backups on: python shop.py create, backups, damage, compare or remove."""

import sys

import boto3

dynamodb = boto3.client("dynamodb")
OWN = {"Key": "made-by", "Value": "shop.py"}


def create() -> None:
    """Make the table, with three orders and the tag that the nightly DAG looks for."""
    dynamodb.create_table(
        TableName="orders",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
        Tags=[{"Key": "backup", "Value": "nightly"}, OWN],
    )
    dynamodb.get_waiter("table_exists").wait(TableName="orders")
    for number in ("1", "2", "3"):
        dynamodb.put_item(TableName="orders", Item={"id": {"S": number}, "total": {"N": "10"}})
    print("table orders:", items("orders"))


def backups() -> None:
    """List the table's backups."""
    for backup in dynamodb.list_backups(TableName="orders")["BackupSummaries"]:
        print(backup["BackupStatus"], backup["BackupName"])


def damage() -> None:
    """Lose one order, and spoil another."""
    check_own("orders")
    dynamodb.delete_item(TableName="orders", Key={"id": {"S": "1"}})
    dynamodb.put_item(TableName="orders", Item={"id": {"S": "2"}, "total": {"N": "0"}})
    print("table orders:", items("orders"))


def compare() -> None:
    """Say which orders are not as they were."""
    now, restored = items("orders"), items("orders-restored")
    for number in sorted(now.keys() | restored.keys()):
        same = now.get(number) == restored.get(number)
        print(f"order {number}: {'same' if same else f'{restored.get(number)} in the backup, {now.get(number)} now'}")


def remove() -> None:
    """Remove the tables and the backups."""
    for name in ("orders", "orders-restored"):
        check_own(name)
    created_at = dynamodb.describe_table(TableName="orders")["Table"]["CreationDateTime"]
    for backup in dynamodb.list_backups(TableName="orders")["BackupSummaries"]:
        # An earlier table of this name may have left backups.
        if backup["BackupCreationDateTime"] >= created_at:
            dynamodb.delete_backup(BackupArn=backup["BackupArn"])
    for name in ("orders", "orders-restored"):
        dynamodb.delete_table(TableName=name)
        print(f"table {name} is removed")


def check_own(table: str) -> None:
    """Stop where the table is somebody else's; a restore has put the tag back."""
    arn = dynamodb.describe_table(TableName=table)["Table"]["TableArn"]
    if OWN not in dynamodb.list_tags_of_resource(ResourceArn=arn)["Tags"]:
        sys.exit(f"table {table} was not made by this script: nothing is changed")


def items(table: str) -> dict[str, str]:
    """Return the total of each order."""
    found = dynamodb.scan(TableName=table, ConsistentRead=True)["Items"]
    return {item["id"]["S"]: item["total"]["N"] for item in sorted(found, key=lambda item: item["id"]["S"])}


if __name__ == "__main__":
    {"create": create, "backups": backups, "damage": damage, "compare": compare, "remove": remove}[sys.argv[1]]()
