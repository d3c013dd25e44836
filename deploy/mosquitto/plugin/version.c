#include "version.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mosquitto_api.h"

int broker_version(void)
{
    char path[4096], text[512] = "";
    char *arguments[] = {path, "-h", NULL};
    int pipes[2], major, minor, revision;
    posix_spawn_file_actions_t actions;
    pid_t child;
    ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);

    if (length <= 0 || pipe2(pipes, O_CLOEXEC) != 0)
        return LIBMOSQUITTO_VERSION_NUMBER;
    path[length] = '\0';
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, pipes[1], STDOUT_FILENO);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    int error = posix_spawn(&child, path, &actions, NULL, arguments, NULL);
    posix_spawn_file_actions_destroy(&actions);
    close(pipes[1]);
    if (!error) {
        size_t used = 0;
        while (used < sizeof text - 1 && (length = read(pipes[0], text + used, sizeof text - 1 - used)) > 0)
            used += (size_t)length;
        close(pipes[0]);
        pipes[0] = -1;
        while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    if (pipes[0] >= 0)
        close(pipes[0]);
    const char *found = strstr(text, "mosquitto version ");
    if (!found || sscanf(found, "mosquitto version %d.%d.%d", &major, &minor, &revision) != 3)
        return LIBMOSQUITTO_VERSION_NUMBER;
    return major * 1000000 + minor * 1000 + revision;
}
