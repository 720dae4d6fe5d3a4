/* Hold a slot of a pool for a while: slot POOL SECONDS
 *
 * The pool's semaphore has the pool's name. If this program died with the slot, the slot would stay
 * taken until "poolrun repair". So signals only ask it to stop. */
#include <errno.h>
#include <fcntl.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static volatile sig_atomic_t stopped;

static void stop(int signal)
{
	(void)signal;
	stopped = 1;
}

int main(int argc, char **argv)
{
	if (argc != 3) {
		fprintf(stderr, "usage: %s POOL SECONDS\n", argv[0]);
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);

	/* Without SA_RESTART, a signal interrupts sem_wait and sleep. */
	struct sigaction action = { .sa_handler = stop };
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);

	sem_t *slots = sem_open(argv[1], 0); /* the pool must exist */
	if (slots == SEM_FAILED) {
		perror(argv[1]);
		return 1;
	}
	while (sem_wait(slots) != 0) {
		if (errno != EINTR) {
			perror("sem_wait");
			return 1;
		}
		if (stopped)
			return 1;
	}
	puts("slot taken");

	for (unsigned int left = (unsigned int)atoi(argv[2]); left > 0 && !stopped;)
		left = sleep(left); /* the work */

	puts("slot returned");
	if (sem_post(slots) != 0) {
		perror("sem_post");
		return 1;
	}
	return 0;
}
