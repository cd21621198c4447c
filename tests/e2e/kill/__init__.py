"""The kill matrix: real processes are killed at named points, and the sandbox's ledger says what it cost."""
