# AWS is moto's server on this machine, which takes any credentials.
export AWS_ENDPOINT_URL=http://127.0.0.1:5555
export AWS_ACCESS_KEY_ID=laptop AWS_SECRET_ACCESS_KEY=laptop AWS_DEFAULT_REGION=us-east-1
# The tasks' connection; credentials, region and endpoint are those above.
export AIRFLOW_CONN_AWS_DEFAULT='{"conn_type": "aws"}'
# Airflow: no DAGs but yours, no password, and nobody else reaches it.
export AIRFLOW__CORE__LOAD_EXAMPLES=False
export AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS=True
export AIRFLOW__API__HOST=127.0.0.1
