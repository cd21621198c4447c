"""The receiver of the vendor's webhooks, in the API server, off unless it is turned on. See ``docs/webhooks.md``.

A delivery is a hint: it says when to look. Only what a look with the API key finds is handed on.
"""
