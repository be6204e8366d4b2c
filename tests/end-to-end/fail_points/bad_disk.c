// A disk that refuses now and then, also where no fail point stands, as within the database and other libraries: every so many fsyncs end
// with EIO, every so many writes with ENOSPC, of what lies under one folder, as long as a file is there that says so. For LD_PRELOAD.
//
//   BAD_DISK_UNDER   the folder
//   BAD_DISK_WHILE   the file
//   BAD_DISK_SYNC    every how many fsyncs; none without it
//   BAD_DISK_WRITE   every how many writes; none without it

#define _GNU_SOURCE
#define _FILE_OFFSET_BITS 64
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

// The same function of whoever comes next: the C library.
#define NEXT(name) ({ \
        static __typeof__(&name) next; \
        if (!next) next = (__typeof__(&name))dlsym(RTLD_NEXT, #name); \
        next; })

static atomic_ulong syncs, writes;

// Whether a file or folder lies where the disk refuses, and it does so now. Says which it is.
static int is_meant(int fd, char path[PATH_MAX]) {
    const char *under = getenv("BAD_DISK_UNDER"), *as_long_as = getenv("BAD_DISK_WHILE");
    struct stat file;
    if (!under || !as_long_as || access(as_long_as, F_OK) != 0) return 0;
    if (fstat(fd, &file) != 0 || !(S_ISREG(file.st_mode) || S_ISDIR(file.st_mode))) return 0;
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return strncmp(path, under, strlen(under)) == 0;
}

static int refuses(int fd, atomic_ulong *count, const char *name, int error, const char *shown) {
    int before = errno;
    char path[PATH_MAX], line[PATH_MAX + 64];
    const char *value = getenv(name);
    unsigned long every = value ? strtoul(value, 0, 10) : 0;
    int refused = every && is_meant(fd, path) && atomic_fetch_add(count, 1) % every == every - 1;
    if (refused) {
        int length = snprintf(line, sizeof line, "bad disk: %s of %s\n", shown, path);
        if (NEXT(write)(2, line, length) < 0) abort();
    }
    errno = refused ? error : before;
    return refused;
}

#define SYNC(name) \
    int name(int fd) { return refuses(fd, &syncs, "BAD_DISK_SYNC", EIO, "EIO") ? -1 : NEXT(name)(fd); }
#define WRITE(name, types, arguments) \
    ssize_t name types { return refuses(fd, &writes, "BAD_DISK_WRITE", ENOSPC, "ENOSPC") ? -1 : NEXT(name) arguments; }

SYNC(fsync)
SYNC(fdatasync)
WRITE(write, (int fd, const void *bytes, size_t length), (fd, bytes, length))
WRITE(writev, (int fd, const struct iovec *parts, int count), (fd, parts, count))
WRITE(pwrite64, (int fd, const void *bytes, size_t length, off_t at), (fd, bytes, length, at))
WRITE(copy_file_range, (int from, off_t *a, int fd, off_t *b, size_t most, unsigned flags), (from, a, fd, b, most, flags))
