"""A local host for the Functions app: it loads the real `function_app.py` and drives it with real storage.

Reproduced: the worker's loader rules; `%setting%` names; local.settings.json under the environment; timers
(six-field NCRONTAB, blob lease, status blob, one past-due run, status advancing on errors, no overlap); queues
(base64, invisibility and its renewal, dequeue counts, retry delay, poison, batch plus threshold); outputs flushed
only on success; HTTP routes, methods, reserved routes, keys and body cap; admin invocation; a function timeout
that kills the worker with everything in flight; draining on SIGTERM.

Not reproduced, and not to be concluded from a green test here: scaling (this is one instance), RBAC and managed
identity (Azurite checks no permission), cold starts and placeholder mode, the 230 s gateway cut, triggers other
than timer, queue and HTTP, outputs other than queue and HTTP, the in-memory hint that wakes a poller when the same
instance has just sent to its queue, retry policies, and the extension bundle's own versions. Admin routes ask for
no key, because the host listens on 127.0.0.1 only; Core Tools does the same.
"""
