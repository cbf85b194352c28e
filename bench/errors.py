"""What keeps a measurement from being made.

BenchError
├── ClipNotMade     no FFmpeg, or one that fails
├── SystemFailed    a system under test that does not start, or ends while it is measured
└── NotHere         an address that is not this machine's own
"""


class BenchError(Exception):
    """No measurement; the message says why and what to do."""


class ClipNotMade(BenchError):
    """The bench clip is not there and cannot be made."""


class SystemFailed(BenchError):
    """A system under test does not start, or ended while it was measured."""


class NotHere(BenchError):
    """Load is put on this machine alone."""
