"""Pages in Airflow's UI: a player for each task, the videos of a run, the jobs of all DAGs. See ``docs/pages.md``.

Lives in the API server; nothing here calls the vendor, writes anything, or reads a connection's key.
"""
