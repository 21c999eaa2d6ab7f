"""Files that the operator names: read with a bound, and only if they are regular ones, so that reading never blocks."""

import codecs
import errno
import os
import stat
from pathlib import Path
from typing import Final

MAX_FILE_BYTES: Final = 1024 * 1024


def read_regular_file(path: str | Path) -> bytes:
    """Return a file's content without a byte order mark.

    Raises `OSError`, also for a pipe, a device, a folder, or more than `MAX_FILE_BYTES`.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, "it is a folder")
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, "it is no regular file")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            content = file.read(MAX_FILE_BYTES + 1)
    finally:
        os.close(descriptor)
    if len(content) > MAX_FILE_BYTES:
        raise OSError(errno.EFBIG, f"it is larger than {MAX_FILE_BYTES} bytes")
    return content.removeprefix(codecs.BOM_UTF8)
