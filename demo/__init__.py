"""The whole way once, on this machine: text, speech, lip-synced video, published. Run it by ``make demo``."""
