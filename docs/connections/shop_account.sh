export AIRFLOW_CONN_AWS_SHOP_ACCOUNT='{
  "conn_type": "aws",
  "extra": {
    "region_name": "us-east-1",
    "role_arn": "arn:aws:iam::210987654321:role/table-backups",
    "assume_role_kwargs": {"ExternalId": "airflow"}
  }
}'
