"""A heartbeat that no disk ever sees: the kernel keeps how far a lock on a file reaches, and that is the time.

What is written into a file comes to the disk sooner or later, a worker's lifetime long, however idle it is. A lock on
bytes that need not exist costs one system call, ends with its holder, and says its length to whoever asks.
"""

import fcntl
import os
import struct
import sys

_LOCK = struct.Struct("@hhqqi0q")  # struct flock where offsets have 64 bits: type, whence, start, length, pid
_HERE = fcntl if sys.platform == "linux" else None
"""Other systems have such locks too, with the fields in another order."""
_SET, _GET = getattr(_HERE, "F_OFD_SETLK", None), getattr(_HERE, "F_OFD_GETLK", None)
"""Of an open file, not of the process: to close another descriptor of the file leaves them alone."""


def beat(fd: int, moment: int) -> bool:
    """Have the lock of the open file reach as far as the moment, a positive number; False where that cannot be."""
    if _SET is None:
        return False
    try:
        fcntl.fcntl(fd, _SET, _LOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, moment, 0))
        # Nothing lies there unless the moment is an earlier one: zero is up to the end, wherever that is.
        fcntl.fcntl(fd, _SET, _LOCK.pack(fcntl.F_UNLCK, os.SEEK_SET, moment, 0, 0))
    except (OSError, ValueError):
        return False  # a filesystem without such locks, or a descriptor that was closed
    return True


def beat_of(fd: int) -> int | None:
    """Give the moment that another holder's lock reaches to, None where nobody has one."""
    if _GET is None:
        return None
    try:
        found = fcntl.fcntl(fd, _GET, _LOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
    except (OSError, ValueError):
        return None
    kind, _, _, length, _ = _LOCK.unpack(found)
    return None if kind == fcntl.F_UNLCK else int(length)
