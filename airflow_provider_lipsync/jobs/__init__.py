"""The life of one paid job, shared by operator, sensor and trigger."""
