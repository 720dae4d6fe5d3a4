/* One operation on a POSIX named semaphore, by glibc:
 *   sem create NAME VALUE | wait | trywait | timedwait | post | value | unlink NAME
 * wait prints "waiting" before and "taken" after it has waited. timedwait waits for a second.
 *   sem hold NAME COMMAND [ARG...]
 * waits, runs the command, and posts. */
#include <errno.h>
#include <fcntl.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int fail(const char *what)
{
	perror(what);
	return 1;
}

int main(int argc, char **argv)
{
	if (argc < 3)
		return 2;
	const char *op = argv[1], *name = argv[2];
	sem_t *sem;
	int value;

	if (!strcmp(op, "unlink"))
		return sem_unlink(name) ? fail("sem_unlink") : 0;
	if (!strcmp(op, "create"))
		sem = sem_open(name, O_CREAT | O_EXCL, 0600, (unsigned)atoi(argv[3]));
	else
		sem = sem_open(name, 0);
	if (sem == SEM_FAILED)
		return fail("sem_open");
	setbuf(stdout, NULL);
	if (!strcmp(op, "wait")) {
		puts("waiting");
		while (sem_wait(sem))
			if (errno != EINTR)
				return fail("sem_wait");
		puts("taken");
	} else if (!strcmp(op, "trywait")) {
		if (sem_trywait(sem))
			return fail("sem_trywait");
	} else if (!strcmp(op, "timedwait")) {
		struct timespec until;

		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_sec++;
		if (sem_timedwait(sem, &until))
			return fail("sem_timedwait");
	} else if (!strcmp(op, "hold")) {
		int status;

		while (sem_wait(sem))
			if (errno != EINTR)
				return fail("sem_wait");
		if (fork() == 0) {
			execvp(argv[3], argv + 3);
			_exit(127);
		}
		wait(&status);
		if (sem_post(sem))
			return fail("sem_post");
		return WEXITSTATUS(status);
	} else if (!strcmp(op, "post")) {
		if (sem_post(sem))
			return fail("sem_post");
	} else if (!strcmp(op, "value")) {
		if (sem_getvalue(sem, &value))
			return fail("sem_getvalue");
		printf("%d\n", value);
	}
	return 0;
}
