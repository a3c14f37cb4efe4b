# Copyright The ateom Authors.
# SPDX-License-Identifier: Apache-2.0
#
# Describes the tree below a directory, a line for each name in it: all that a
# program may see of a file and a restore has to give back. Names are bytes.
import hashlib
import os
import stat
import sys

KINDS = {
    stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "symlink", stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket", stat.S_IFCHR: "character-device", stat.S_IFBLK: "block-device",
}


def data_runs(fd, size):
    """Where the file has data: the rest is holes."""
    at = 0
    while at < size:
        try:
            start = os.lseek(fd, at, os.SEEK_DATA)
        except OSError:  # no data from there on
            return
        at = os.lseek(fd, start, os.SEEK_HOLE)
        yield start, at


def content(fd, size):
    runs, digest = [], hashlib.sha256()
    for start, end in data_runs(fd, size):
        runs.append(f"{start}-{end}")
        os.lseek(fd, start, os.SEEK_SET)
        while start < end:
            data = os.read(fd, min(end - start, 1 << 20))
            if not data:
                raise EOFError(f"the file ends at {start}, and has data up to {end}")
            digest.update(data)
            start += len(data)
    return f"data={','.join(runs)} sha256={digest.hexdigest()}"


def describe(parent, name):
    """What is told of one name, without what it shares with others."""
    info = os.stat(name, dir_fd=parent, follow_symlinks=False)
    kind = KINDS[stat.S_IFMT(info.st_mode)]
    words = [kind, f"mode={stat.S_IMODE(info.st_mode):04o}", f"owner={info.st_uid}:{info.st_gid}", f"mtime={info.st_mtime_ns}"]
    if kind == "file":
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=parent)
        words += [f"size={info.st_size}", content(fd, info.st_size)]
        os.close(fd)
    elif kind == "symlink":
        words.append(f"target={os.readlink(name, dir_fd=parent)!r}")
    elif kind.endswith("device"):
        words.append(f"device={os.major(info.st_rdev)}:{os.minor(info.st_rdev)}")
    path = b"/proc/self/fd/%d/%s" % (parent, name)
    for key in sorted(os.listxattr(path, follow_symlinks=False)):
        value = os.getxattr(path, key, follow_symlinks=False)
        words.append(f"{key!r}={value!r}")
    return info, words


def fail(error):
    raise error


lines, groups = {}, {}
for path, dirs, files, fd in os.fwalk(os.fsencode(sys.argv[1]), topdown=True, onerror=fail):
    below = os.path.relpath(path, os.fsencode(sys.argv[1]))
    for name in ([b"."] if below == b"." else []) + dirs + files:
        info, lines[os.path.normpath(os.path.join(below, name))] = describe(fd, name)
        if not stat.S_ISDIR(info.st_mode):
            groups.setdefault((info.st_dev, info.st_ino), []).append(os.path.normpath(os.path.join(below, name)))
for names in groups.values():
    for name in names:
        if len(names) > 1:
            lines[name].append(f"names={sorted(names)!r}")
for name in sorted(lines):
    print(repr(name)[1:], *lines[name])
