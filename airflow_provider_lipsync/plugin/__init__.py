"""Pages in Airflow's UI: a player for each task, the videos of a run, the jobs of all DAGs. See ``docs/pages.md``.

Lives in the API server. The pages call no vendor, write nothing, and read no connection's key; ``webhooks/`` does all
of it, where it is turned on.
"""
