"""Which tables have a fresh backup, and the page in Airflow's web UI that shows it."""
