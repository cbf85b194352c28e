"""`kinema bench`: puts load on a server and finds the most that it carries.

The load is open-loop: units of work are begun when they are due, whatever has come of those before, and latency counts
from the moment at which a unit was due. A client that waits for answers instead would ask less of a slow server, and
would not see the time that work spent waiting (coordinated omission).
"""
