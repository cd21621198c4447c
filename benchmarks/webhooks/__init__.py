"""How soon a webhook resumes the task whose job it tells of, in a real Airflow."""
