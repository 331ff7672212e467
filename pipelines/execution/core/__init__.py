"""The core: one account's trader as a deterministic state machine, events in and plans out.

No clock, no randomness, no thread, socket or file: the time comes with each event, and what is to be written and then sent comes
back as a plan. Whoever drives it writes a plan's records durably before sending its requests, and brings the answers as events.
"""
